"""Full-size models with random weights: made once under build/bench, then reused.

They have exactly the production shapes, so speed and memory at a fixed output length are those of
the real models; what they write is noise and never ends by itself.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from khulasa_server.bundles import canary, store
from khulasa_server.bundles.building.build import Recorder, build
from khulasa_server.bundles.building.describe import BuildOptions, Origin
from khulasa_server.bundles.building.synthesize import synthesize
from khulasa_server.bundles.building.trimming import Keep
from khulasa_server.engines.loading import load
from khulasa_server.engines.proving import GREEDY

if TYPE_CHECKING:
    from khulasa_server.bundles.manifest import Manifest
    from khulasa_server.engines.base import Engine

ROOT: Final = Path(__file__).parents[2]
BUILD: Final = ROOT / "build" / "bench"
"""Everything that the benchmark makes."""

KEPT_PIECES: Final = 40_000
"""Of the summarizer's 250,112: what Arabic and English need."""


@dataclass(frozen=True, slots=True)
class StandIns:
    """Directories of the stand-ins.

    Args:
        translator: float32 checkpoint of the shape of opus-mt-ar-en.
        summarizer: float32 checkpoint of the shape of mT5_multilingual_XLSum.
        translator_bundle: the first, int8, with a decoder vocabulary of its own.
        summarizer_bundle: the second, int8, trimmed to 40,000 pieces.
    """

    translator: Path
    summarizer: Path
    translator_bundle: Path
    summarizer_bundle: Path


def stand_ins() -> StandIns:
    """The stand-ins, made if they are not there yet; each takes seconds to a minute."""
    made = BUILD / "standins"
    made.mkdir(parents=True, exist_ok=True)
    translator, summarizer = made / "opus-mt-ar-en", made / "xlsum"
    for checkpoint in (translator, summarizer):
        if not checkpoint.exists():
            _say(f"making {checkpoint.relative_to(ROOT)}")
            synthesize(checkpoint.name, checkpoint)
    return StandIns(
        translator,
        summarizer,
        _bundle(translator, BuildOptions(languages=("ar",), target_languages=("en",))),
        _bundle(
            summarizer,
            BuildOptions(
                languages=("ar",),
                target_languages=("ar",),
                keep=Keep(("ar", "en"), None, KEPT_PIECES),
            ),
        ),
    )


def _bundle(checkpoint: Path, options: BuildOptions) -> Path:
    output = checkpoint.with_name(f"{checkpoint.name}.bundle")
    if output.exists() and not _would_serve(output):
        # Built by code that computes otherwise, which random weights make a great difference of.
        shutil.rmtree(output)
    if not output.exists():
        build(Origin(checkpoint), output, options, Recorder(_open_engine, GREEDY), _say)
    return output


def _would_serve(directory: Path) -> bool:
    bundle = store.load(directory)
    engine = _open_engine(directory, bundle.manifest)
    try:
        return canary.check(engine, bundle.manifest, GREEDY).passed
    finally:
        engine.close()


def _open_engine(directory: Path, manifest: Manifest) -> Engine:
    return load("ctranslate2", directory, manifest, workers=1, threads=1)


def _say(step: str) -> None:
    sys.stderr.write(f"{step} …\n")


if __name__ == "__main__":
    stand_ins()
