"""What normalization and vowel marks do to the pieces that models read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import sentencepiece
from tests.fidelity.sets import lines

from khulasa_server.bundles import store
from khulasa_server.bundles.building import diacritics
from khulasa_server.text.normalization import normalize

if TYPE_CHECKING:
    from collections.abc import Iterator

REAL_TOKENIZER = "KHULASA_REAL_TOKENIZER_DIR"


def measured() -> Iterator[tuple[str, dict[str, str]]]:
    """With every tokenizer that is here."""
    news = [line.split("\t")[0] for line in lines("pud.ar-en.tsv")]
    changed, marks = {}, {}
    for name, path in _tokenizers().items():
        processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
        differ = [s for s in news if processor.encode(normalize(s).text) != processor.encode(s)]
        changed[name] = f"{len(differ)} of {len(news)}"
        cost = diacritics.measure(path, ["ar"])
        kept, removed = cost.pieces_per_word_kept, cost.pieces_per_word_removed
        marks[name] = f"{kept} with marks, {removed} without: {cost.policy}"
    yield "PUD lines whose pieces default normalization changes", changed
    yield "Pieces a word of vocalized Arabic", marks


def _tokenizers() -> dict[str, Path]:
    found = {}
    for bundle in store.embedded():
        found[bundle.manifest.name] = bundle.path / bundle.manifest.tokenizer.source
    if os.environ.get(REAL_TOKENIZER):
        found["opus-mt-ar-en"] = Path(os.environ[REAL_TOKENIZER]) / "source.spm"
    return found
