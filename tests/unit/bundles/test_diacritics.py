"""What a bundle says of Arabic vowel marks, measured with its tokenizer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from khulasa_server.bundles.building import diacritics
from khulasa_server.bundles.manifest import VowelMarks

if TYPE_CHECKING:
    from khulasa_server.bundles.store import Bundle

REAL_TOKENIZER = "KHULASA_REAL_TOKENIZER_DIR"
DEMO = Path(diacritics.__file__).parents[1] / "demo"


@pytest.mark.parametrize("family", ["marian", "mt5"])
def test_a_build_measures_what_marks_cost(built: dict[str, Bundle], family: str) -> None:
    """The manifest holds the pieces a word with and without marks, and the policy they lead to."""
    manifest = built[family].manifest
    marks = manifest.vowel_marks
    assert marks == diacritics.measure(
        built[family].path / manifest.tokenizer.source, manifest.source_language_codes
    )
    assert marks.pieces_per_word_kept >= marks.pieces_per_word_removed > 1
    costly = marks.pieces_per_word_kept >= diacritics.COSTLY * marks.pieces_per_word_removed
    assert marks.policy == ("remove_when_vocalized" if costly else "keep")


@pytest.mark.parametrize("name", ["demo-marian-ar-en", "demo-mt5-ar-summary"])
def test_the_embedded_tokenizers_drop_marks_themselves(name: str) -> None:
    """With marks and without, the embedded models read the same pieces: nothing to remove."""
    (tokenizer,) = [
        p for p in (DEMO / name).glob("*.*") if p.name in {"source.spm", "spiece.model"}
    ]
    marks = diacritics.measure(tokenizer, ["ar"])
    assert marks.policy == "keep"
    assert marks.pieces_per_word_kept == marks.pieces_per_word_removed


def test_other_languages_have_no_such_marks() -> None:
    """Without Arabic nothing is measured."""
    assert diacritics.measure(Path("nowhere"), ["en", "ru"]) == VowelMarks()


def test_opus_mt_reads_vocalized_text_letter_by_letter() -> None:
    """Its real tokenizer: five times the pieces with marks, so they go from vocalized text."""
    if REAL_TOKENIZER not in os.environ:
        pytest.skip(f"{REAL_TOKENIZER} names no directory with opus-mt-ar-en's tokenizer")
    marks = diacritics.measure(Path(os.environ[REAL_TOKENIZER]) / "source.spm", ["ar"])
    assert marks.policy == "remove_when_vocalized"
    assert (marks.pieces_per_word_kept, marks.pieces_per_word_removed) == (6.45, 1.3)
