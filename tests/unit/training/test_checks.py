"""A word counts as standing in the source however it is spelled there."""

from __future__ import annotations

import pytest

from training import checks


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("وَصَلَ الوزيرُ", "وصل الوزير"),
        ("الوزيــر", "الوزير"),
        ("عام ٢٠٢٠", "عام 2020"),
        ("قال: «نعم».", "نعم قال"),
        ("ﻻ شيء", "لا شيء"),
        ("Dynamics 365", "dynamics 365"),
    ],
)
def test_spelling_makes_no_new_word(source: str, output: str) -> None:
    """Marks, tatweel, digits, presentation forms, punctuation and case are no differences."""
    assert checks.invented(source, output) == []


def test_new_words_are_told_in_order() -> None:
    """Half a word that stands in the source is a new word."""
    assert checks.invented("وصل الوزير إلى بغداد", "الوزير وص بغ") == ["وص", "بغ"]


def test_hamza_is_spelling() -> None:
    """Letters with hamza and madda are letters of their own."""
    assert checks.words("آن أن ان") == ["آن", "أن", "ان"]


def test_share_counts_whole_outputs() -> None:
    """One invented word is enough."""
    assert checks.share_grounded(["أ ب", "ج"], ["ب", "د"]) == 0.5
