"""From the name of an implementation to an engine; what is not asked for is not imported."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from khulasa_server.engines.base import EngineError

if TYPE_CHECKING:
    from pathlib import Path

    from khulasa_server.bundles.manifest import Manifest
    from khulasa_server.engines.base import Engine

Kind = Literal["ctranslate2", "transformers", "scripted"]


def load(kind: Kind, directory: Path, manifest: Manifest, workers: int, threads: int) -> Engine:
    """Load one model.

    Args:
        kind: the implementation.
        directory: the bundle; for `transformers`, the checkpoint it was built from.
        manifest: of the bundle.
        workers: calls that run at the same time, at least 1.
        threads: threads of each, at least 1.

    Raises:
        EngineError: it cannot be loaded, or `transformers` is not installed.
        ValueError: there is no such implementation.
    """
    match kind:
        case "ctranslate2":
            return _ctranslate2(directory, manifest, workers, threads)
        case "transformers":
            return _transformers(directory, manifest, threads)
        case "scripted":
            return _scripted(manifest)
    raise ValueError(f"there is no engine {kind!r}")


def _ctranslate2(directory: Path, manifest: Manifest, workers: int, threads: int) -> Engine:
    # Threads of one batch that spin while they wait for each other take the cores from whoever
    # could use them: on a busy machine a batch took twice as long. Read when the library is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from khulasa_server.engines.ctranslate2 import (  # noqa: PLC0415 - costs 0.2 s where it is not used
        CTranslate2Engine,
    )

    return CTranslate2Engine(directory, manifest, workers=workers, threads=threads)


def _transformers(directory: Path, manifest: Manifest, threads: int) -> Engine:
    try:
        from khulasa_server.engines.transformers import (  # noqa: PLC0415 - an extra, not always there
            TransformersEngine,
        )
    except ImportError as error:
        raise EngineError(
            "the transformers engine is an extra: pip install 'khulasa-server[transformers]'"
        ) from error
    return TransformersEngine(directory, manifest, threads=threads)


def _scripted(manifest: Manifest) -> Engine:
    from khulasa_server.engines.scripted import (  # noqa: PLC0415 - not used in production
        ScriptedEngine,
    )

    return ScriptedEngine(manifest)
