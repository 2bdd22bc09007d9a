"""`python -m training.copies BUNDLE FILE.tsv`: how many leading sentences are copied exactly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path  # noqa: TC003 - typer reads annotations when it runs
from typing import TYPE_CHECKING, Annotated, Final

import typer

from khulasa_server.bundles.manifest import Manifest
from khulasa_server.engines.base import GenerationOptions
from khulasa_server.engines.loading import load
from khulasa_server.engines.pieces import Pieces
from training import documents, sources

if TYPE_CHECKING:
    from collections.abc import Sequence

JOINED: Final = 16
"""Sentences of a document."""
_LONGEST = 100

Tokens = tuple[str, ...]


def joined(sentences: Sequence[str], count: int = JOINED) -> list[list[str]]:
    """Documents of `count` sentences each, in order; what is left over is left out."""
    ended = [documents.sentence(text) for text in sentences]
    return [ended[start : start + count] for start in range(0, len(ended) - count + 1, count)]


def cut(texts: Sequence[Tokens], pieces: int) -> list[Tokens]:
    """Documents cut to so many pieces, end of sequence kept; shorter ones are left out."""
    return [(*text[: pieces - 1], text[-1]) for text in texts if len(text) >= pieces]


def exact(outputs: Sequence[str], wanted: Sequence[str]) -> int:
    """Outputs that are the wanted texts, white space around them left out."""
    pairs = zip(outputs, wanted, strict=True)
    return sum(output.strip() == text.strip() for output, text in pairs)


def main(
    bundle: Annotated[Path, typer.Argument(help="Directory of a summarizer's bundle.")],
    sentences: Annotated[Path, typer.Argument(help="TSV with Arabic sentences first.")],
    pieces: Annotated[list[int] | None, typer.Option(help="Lengths of documents.")] = None,
) -> None:
    """Print exact copies, greedy and with the bundle's defaults, at each length."""
    manifest = Manifest.model_validate_json((bundle / "manifest.json").read_text("utf-8"))
    lengths = pieces or [64, 128, manifest.limits.max_input_tokens]
    wide = manifest.limits.model_copy(update={"max_input_tokens": max(lengths)})
    engine = load("ctranslate2", bundle, manifest.model_copy(update={"limits": wide}), 1, 1)
    spelling = Pieces.of_bundle(bundle, manifest)
    texts = joined([arabic for arabic, _ in sources.read_dev(sentences, 10**6)])
    tokens = engine.tokenize([" ".join(text) for text in texts])
    greedy = GenerationOptions(beam_size=1, max_output_tokens=_LONGEST)
    default = GenerationOptions(**manifest.generation.model_dump())
    for length in lengths:
        rows = cut(tokens, length)
        kept = [text[0] for text, row in zip(texts, tokens, strict=True) if len(row) >= length]
        # As the tokenizer spells them: it removes marks and folds digits.
        wanted = spelling.decode([one[:-1] for one in spelling.encode(kept)])
        for options in (greedy, replace(default, max_output_tokens=_LONGEST)):
            outputs = [answer.text for answer in engine.generate(rows, options)]
            count = exact(outputs, wanted)
            typer.echo(f"{length:5} pieces, beam {options.beam_size}: {count} of {len(rows)}")


if __name__ == "__main__":
    typer.run(main)
