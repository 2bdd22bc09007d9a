"""From a bundle on disk to an engine that has been seen to do what it did when it was built."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from khulasa_server.bundles import canary, store
from khulasa_server.bundles.errors import BundleError
from khulasa_server.engines.base import GenerationOptions
from khulasa_server.engines.loading import load

if TYPE_CHECKING:
    from khulasa_server.bundles.canary import CanaryReport, Mode
    from khulasa_server.bundles.store import Bundle
    from khulasa_server.engines.base import Engine, Timing

EngineKind = Literal["ctranslate2", "transformers", "scripted"]

GREEDY = GenerationOptions(beam_size=1, max_output_tokens=16)
"""How golden outputs are made: nothing but the weights decides."""


class CanaryError(BundleError):
    """The loaded model does not score its golden outputs as it did when it was built."""


@dataclass(frozen=True, slots=True)
class Proven:
    """An engine that may serve."""

    engine: Engine
    report: CanaryReport
    load_seconds: float
    timings: tuple[Timing, ...] = ()
    """Of warm batches, for a first idea of what one costs."""


def load_proven(
    bundle: Bundle,
    kind: EngineKind,
    *,
    workers: int,
    threads: int,
    mode: Mode,
    together: int = 1,
) -> Proven:
    """Check digests, load, check golden outputs, warm up; blocks for seconds.

    Args:
        bundle: to load.
        kind: the implementation.
        workers: calls that it will run at the same time.
        threads: of each.
        mode: of the check of golden outputs.
        together: calls that may run at the same time now, to warm up; `together * threads` is
            what this takes of the cores.

    Raises:
        BundleError: a digest or a golden output differs, in one sentence that says which.
        EngineError: the engine could not be loaded.
    """
    started = time.monotonic()
    engine = load_checked(bundle, kind, workers=workers, threads=threads)
    try:
        report, timings = make_ready(engine, bundle, kind, mode, together=together)
    except BaseException:
        engine.close()
        raise
    return Proven(engine, report, time.monotonic() - started, timings)


def load_checked(bundle: Bundle, kind: EngineKind, *, workers: int, threads: int) -> Engine:
    """Check digests, then load; nothing is computed with it yet.

    Raises:
        BundleError, EngineError: as `load_proven` does.
    """
    store.verify_files(bundle)
    return load(kind, bundle.path, bundle.manifest, workers=workers, threads=threads)


def make_ready(
    engine: Engine, bundle: Bundle, kind: EngineKind, mode: Mode, *, together: int = 1
) -> tuple[CanaryReport, tuple[Timing, ...]]:
    """Check golden outputs, then warm up; `together` as for `load_proven`.

    Raises:
        BundleError, EngineError: as `load_proven` does.
    """
    # The scripted engine has no weights that could be wrong.
    report = NOT_CHECKED if kind == "scripted" else prove(engine, bundle, mode)
    return report, engine.warm_up(together)


def prove(engine: Engine, bundle: Bundle, mode: Mode) -> CanaryReport:
    """Compare an engine with its bundle's golden outputs.

    Raises:
        CanaryError: scores moved further than kernels of another processor move them.
    """
    report = canary.check(engine, bundle.manifest, GREEDY, mode)
    if not report.passed:
        raise CanaryError(f"{bundle.manifest.name}: {'; '.join(report.differences)}")
    return report


NOT_CHECKED = canary.CanaryReport((), (), 0, 0.0, 0.0)
