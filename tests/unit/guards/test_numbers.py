"""Numbers lost and invented."""

from __future__ import annotations

import pytest

from khulasa_server.guards.findings import Finding, Kind
from khulasa_server.guards.numbers import find_numbers, find_unsupported_numbers
from khulasa_server.text.spans import Span

SOURCE = "حضر 250 شخصا في عام ٢٠١٥."


def found(source: str, output: str) -> list[Finding]:
    """What is told of an English translation's numbers."""
    return find_numbers(source, output, "ar", "en")


def test_a_changed_digit_is_told_with_both_places() -> None:
    """What is missing and what stands for it point to each other."""
    output = "250 people came in 2013."
    missing, unsupported = found(SOURCE, output)
    assert (missing.kind, unsupported.kind) == (Kind.NUMBER_MISSING, Kind.NUMBER_UNSUPPORTED)
    assert missing.source == unsupported.source == Span(20, 24)
    assert missing.target == unsupported.target == Span(19, 23)
    assert missing.detail == "٢٠١٥, perhaps written as 2013"


def test_a_lost_number_has_a_place_in_the_source_only() -> None:
    """Where nothing stands for it, there is no place in the output."""
    (finding,) = found(SOURCE, "250 people came.")
    assert (finding.kind, finding.source, finding.target) == (
        Kind.NUMBER_MISSING,
        Span(20, 24),
        None,
    )


def test_an_invented_number_has_a_place_in_the_output_only() -> None:
    """Where nothing is missing, there is no place in the source."""
    (finding,) = found(SOURCE, "All 250 people of 300 came in 2015.")
    assert (finding.kind, finding.source, finding.target) == (
        Kind.NUMBER_UNSUPPORTED,
        None,
        Span(18, 21),
    )


def test_a_true_translation_has_no_findings() -> None:
    """The same numbers in other digits are the same numbers."""
    assert found(SOURCE, "In 2015, two hundred and fifty people came.") == []


def test_a_number_said_twice_comes_twice() -> None:
    """A repeated numeral that is said once is told, where words would not be."""
    assert found("حجم 6 × 6 سم", "a size of 6 by cm")
    assert found("حجم 6 × 6 سم", "a size of 6 by 6 cm") == []
    assert found("ثلاثة كتب وثلاثة أقلام", "three books and pens") == []


def test_millions_are_no_billions() -> None:
    """The scale is a part of the number."""
    assert found("5 ملايين", "5 billion")
    assert found("5 ملايين", "5 million") == []


@pytest.mark.parametrize(
    ("output", "count"), [("250 Menschen im Jahr 2015", 0), ("12 Menschen", 1)]
)
def test_other_languages_are_compared_by_their_digits(output: str, count: int) -> None:
    """Where number words are not known, long numerals are compared and short ones are not."""
    source = "250 personnes, sept enfants, 3 jours"
    assert len(find_numbers(source, output, "fr", "de")) == count + (count == 0 and 1)


def test_a_summary_need_not_keep_numbers() -> None:
    """Only what the article has nowhere is told, words and digits alike."""
    article = "جاء ثلاثة رجال في عام 1990، ثم 40 رجلا."
    assert find_unsupported_numbers(article, "جاء 3 رجال", "ar") == []
    (finding,) = find_unsupported_numbers(article, "جاء 70 رجلا", "ar")
    assert (finding.kind, finding.target) == (Kind.NUMBER_UNSUPPORTED, Span(4, 6))
