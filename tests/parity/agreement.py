"""How often what is served is what the authors' code writes; prints one Markdown table.

`build/parity/bin/python -m tests.parity.agreement CHECKPOINT DATA [--limit N]`: a checkpoint in
Hugging Face layout, and `.tsv` or `.jsonl` as `models evaluate` reads it. Texts are cut to the
window. Outputs are counted that have the same pieces.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from khulasa_server.bundles import evaluate
from khulasa_server.bundles.building import checkpoint as checkpoints
from khulasa_server.bundles.building.build import Recorder, build
from khulasa_server.bundles.building.describe import BuildOptions, Origin
from khulasa_server.bundles.manifest import Quantization
from khulasa_server.engines.base import END, GenerationOptions
from khulasa_server.engines.ctranslate2 import CTranslate2Engine
from khulasa_server.engines.proving import GREEDY
from khulasa_server.engines.transformers import TransformersEngine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from khulasa_server.bundles.manifest import Manifest
    from khulasa_server.bundles.store import Bundle
    from khulasa_server.engines.base import Engine, Tokens

AT_ONCE = 16


class AsTheCardSays(TransformersEngine):
    """The reference with the settings that the checkpoint's authors give: beams go on."""

    renormalize = False

    def _config(self, options: GenerationOptions) -> Any:  # noqa: ANN401 - transformers has no types
        config = super()._config(options)
        config.early_stopping = False
        config.renormalize_logits = self.renormalize
        return config


def open_engine(directory: Path, manifest: Manifest) -> CTranslate2Engine:
    """The serving engine."""
    return CTranslate2Engine(directory, manifest, workers=1, threads=1)


def bundle(checkpoint: Path, output: Path, **options: Any) -> Bundle:  # noqa: ANN401 - passed on
    """Build one; who may use it does not matter here."""
    chosen = BuildOptions(license="CC0-1.0", languages=("ar",), **options)
    return build(Origin(checkpoint), output, chosen, Recorder(open_engine, GREEDY))


def outputs(engine: Engine, inputs: Sequence[Tokens], options: GenerationOptions) -> list[Tokens]:
    """Pieces of each output."""
    written: list[Tokens] = []
    for start in range(0, len(inputs), AT_ONCE):
        batch = engine.generate(inputs[start : start + AT_ONCE], options)
        written += [output.tokens for output in batch]
    return written


def engines(checkpoint: Path, directory: Path) -> dict[str, Engine]:
    """What is compared."""
    whole = bundle(
        checkpoint, directory / "whole", quantization=Quantization.FLOAT32, full_vocabulary=True
    )
    part = bundle(checkpoint, directory / "part", quantization=Quantization.FLOAT32)
    int8 = bundle(checkpoint, directory / "int8")
    card = AsTheCardSays(checkpoint, whole.manifest, threads=1)
    generation = checkpoints.read(checkpoint).generation_config
    card.renormalize = bool(generation.get("renormalize_logits"))
    return {
        "card": card,
        "reference": TransformersEngine(checkpoint, whole.manifest, threads=1),
        "whole": open_engine(whole.path, whole.manifest),
        "part": open_engine(part.path, part.manifest),
        "int8": open_engine(int8.path, int8.manifest),
    }


ROWS = (
    (
        "float32",
        "whole",
        "transformers, `early_stopping=True, renormalize_logits=True`",
        "reference",
    ),
    ("float32", "whole", "transformers, the card's settings (`early_stopping=False`)", "card"),
    ("float32, each side's own pieces", "part", "float32, every piece", "whole"),
    ("int8", "int8", "float32", "part"),
    ("int8", "int8", "transformers, the card's settings", "card"),
)


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--limit", type=int, default=300)
    asked = parser.parse_args()
    pairs = evaluate.read_pairs(asked.data)[: asked.limit]
    with tempfile.TemporaryDirectory() as directory:
        found = engines(asked.checkpoint, Path(directory))
        served: Any = found["int8"]
        manifest: Manifest = served._manifest  # noqa: SLF001 - a measurement, not the product
        window = manifest.limits.max_input_tokens
        inputs = [
            row if len(row) <= window else (*row[: window - 1], END)
            for row in served.tokenize([pair.source for pair in pairs])
        ]
        defaults = GenerationOptions(**manifest.generation.model_dump())
        written = {
            (name, beam): outputs(engine, inputs, replace(defaults, beam_size=beam))
            for name, engine in found.items()
            for beam in (1, 4)
        }
    lines = ["| of | same output as | beam 1 | beam 4 |", "|---|---|---|---|"]
    for title, one, against, other in ROWS:
        same = [
            sum(
                left == right
                for left, right in zip(written[one, beam], written[other, beam], strict=True)
            )
            for beam in (1, 4)
        ]
        counts = " | ".join(f"{count} of {len(inputs)}" for count in same)
        lines.append(f"| {title} | {against} | {counts} |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
