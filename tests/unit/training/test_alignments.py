"""Links name a word of the Arabic side for each word of the English side, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import alignments
from training.alignments import NONE
from training.sources import DataError, Pair

if TYPE_CHECKING:
    from pathlib import Path

BOOK = Pair("x", "وهذا كتاب", "and this is a book")
LINKS = (0, 0, NONE, NONE, 1)


@given(st.text())
def test_a_text_has_as_many_stems_as_words(text: str) -> None:
    """A word that is only marks still has its place."""
    stems = alignments.stems(text)
    assert len(stems) == len(text.split())
    assert all(stem and not set(stem) & set(" \t\n") for stem in stems)


def test_forms_of_a_word_share_a_stem() -> None:
    """Articles, conjunctions, vowel marks and endings make no difference."""
    assert len(set(alignments.stems("الكتاب والكتاب بالكتاب وكتاب كِتَاب"))) == 1
    assert alignments.stems("translated, Translating") == ["trans", "trans"]


def test_links_come_back_as_they_were_written(tmp_path: Path) -> None:
    """A pair without a word on one side has a line too."""
    path = tmp_path / "links"
    pairs = [BOOK, Pair("x", "كتاب", ""), BOOK]
    alignments.write(path, [LINKS, (), LINKS])
    assert list(alignments.read(path, pairs)) == [LINKS, (), LINKS]


def test_links_of_other_data_are_refused(tmp_path: Path) -> None:
    """A line more, or another number of words, is told with its place."""
    path = tmp_path / "links"
    alignments.write(path, [LINKS])
    with pytest.raises(DataError, match="has 1 lines, and there are 2 pairs"):
        list(alignments.read(path, [BOOK, BOOK]))
    with pytest.raises(DataError, match="line 1, is of another pair"):
        list(alignments.read(path, [Pair("x", "كتاب", "book")]))
    with pytest.raises(DataError, match="is missing"):
        list(alignments.read(tmp_path / "none", [BOOK]))
