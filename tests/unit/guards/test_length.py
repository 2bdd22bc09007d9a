"""Too short, too long, cut, or nothing at all."""

from __future__ import annotations

import pytest

from khulasa_server.guards.findings import Kind
from khulasa_server.guards.length import (
    find_empty,
    find_length,
    find_longer_than_source,
    find_truncated,
)
from khulasa_server.text.spans import Span

SOURCE = "تحطمت طائرة على مدرج المطار في الصباح وانفجرت، مما أدى إلى إغلاق المطار أمام الرحلات."
OUTPUT = (
    "A plane crashed on the airport's runway in the morning and exploded, "
    "closing the airport to flights."
)


def test_a_good_length_is_left_alone() -> None:
    """A translation of the usual length is no finding."""
    assert find_length(SOURCE, OUTPUT, "ar", "en") == []


def test_half_a_sentence_is_found() -> None:
    """Whether it was cut off or closed with a stop of its own."""
    half = OUTPUT[:60].rstrip()
    for output in (half, f"{half}."):
        (finding,) = find_length(SOURCE, output, "ar", "en")
        assert finding.kind is Kind.LENGTH_RATIO
        assert finding.target == Span(0, len(output))


def test_a_missing_stop_is_a_reason_for_doubt() -> None:
    """Where the source ends with a stop, an output without one is judged more strictly."""
    most = OUTPUT[:76]
    assert find_length(SOURCE, most, "ar", "en")
    assert find_length(SOURCE.rstrip("."), most, "ar", "en") == []
    assert find_length(SOURCE, f"{most}.", "ar", "en") == []


def test_an_acronym_stands_for_many_words() -> None:
    """What Arabic spells out and English writes in capitals is no lost half."""
    source = "اجتمع أعضاء الفريق الحكومي الدولي المعني بتغير المناخ في جنيف لمناقشة التقرير."
    assert find_length(source, "The IPCC met in Geneva to discuss the report.", "ar", "en") == []
    assert find_length(source, "The group met in Geneva to discuss the report.", "ar", "en")


@pytest.mark.parametrize("output", [OUTPUT * 3, "No."])
def test_far_from_the_usual_is_found(output: str) -> None:
    """Thrice the usual length, or next to nothing, is a finding."""
    assert find_length(SOURCE, output, "ar", "en")


def test_marks_do_not_count() -> None:
    """A fully vocalised source is as long as the same without its marks."""
    marked = "".join(f"{letter}\u064e" if letter.isalpha() else letter for letter in SOURCE)
    assert find_length(marked, OUTPUT, "ar", "en") == []


def test_unknown_pairs_have_a_wide_band() -> None:
    """Chinese takes a third of the letters that English takes, and is left alone."""
    english = "The plane crashed on the runway of the airport in the morning."
    assert find_length(english, "飞机早上在机场跑道上坠毁。", "en", "zh") == []
    assert find_length("飞机早上在机场跑道上坠毁。", english, "zh", "en") == []
    assert find_length(english * 3, "飞", "en", "zh")


def test_regions_do_not_change_the_band() -> None:
    """ar-EG is Arabic."""
    assert find_length(SOURCE, OUTPUT[:50], "ar-EG", "en-GB")


@pytest.mark.parametrize("output", ["", "  ", ".", "…\n"])
def test_nothing_written_is_found(output: str) -> None:
    """An output without a letter or a number is empty, where the source has letters."""
    (finding,) = find_empty("نعم", output)
    assert (finding.kind, finding.source, finding.target) == (Kind.EMPTY_OUTPUT, Span(0, 3), None)
    assert find_empty("…", output) == []


def test_a_number_is_not_nothing() -> None:
    """A one-word answer in digits is an answer."""
    assert find_empty("ثلاثة", "3") == []


def test_a_cut_is_told_at_its_place() -> None:
    """The finding points to the last word, which may be half a word."""
    (finding,) = find_truncated("and then he wen ", cut=True)
    assert finding.kind is Kind.TRUNCATED
    assert finding.target == Span(12, 15)
    assert find_truncated("and then he went", cut=False) == []


def test_a_summary_is_shorter_than_its_article() -> None:
    """A summary longer than what it summarizes is a finding, unless both are a line."""
    assert find_longer_than_source("ا" * 100, "ا" * 101)
    assert find_longer_than_source("ا" * 100, "ا" * 100) == []
    assert find_longer_than_source("نعم", "نعم، هذا صحيح") == []
