"""From a name to an engine."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from khulasa_server.engines.base import Engine, EngineError
from khulasa_server.engines.loading import load

if TYPE_CHECKING:
    from collections.abc import Callable

    from khulasa_server.bundles.store import Bundle
    from khulasa_server.engines.loading import Kind


@pytest.mark.parametrize("kind", ["ctranslate2", "scripted"])
def test_each_kind_is_loaded_by_its_name(kind: Kind, bundle_of: Callable[[str], Bundle]) -> None:
    """The engine says the name it was asked for by, and runs."""
    bundle = bundle_of("mt5")
    engine: Engine = load(kind, bundle.path, bundle.manifest, workers=1, threads=1)
    assert engine.name == kind
    assert engine.compute_type
    engine.warm_up()
    engine.close()


def test_a_missing_extra_is_said_in_a_sentence(
    bundle_of: Callable[[str], Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without torch, the transformers engine says what to install."""
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "khulasa_server.engines.transformers", raising=False)
    bundle = bundle_of("mt5")
    with pytest.raises(EngineError, match=r"pip install 'khulasa-server\[transformers\]'"):
        load("transformers", bundle.path, bundle.manifest, workers=1, threads=1)


def test_an_unknown_kind_is_refused(bundle_of: Callable[[str], Bundle]) -> None:
    """There is no engine to fall back on."""
    bundle = bundle_of("mt5")
    with pytest.raises(ValueError, match="marian-decoder"):
        load("marian-decoder", bundle.path, bundle.manifest, 1, 1)  # type: ignore[arg-type]
