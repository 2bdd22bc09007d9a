"""What stayed in the source's language or script."""

from __future__ import annotations

import pytest

from khulasa_server.guards.copying import find_copied, find_foreign_letters
from khulasa_server.guards.findings import Kind
from khulasa_server.text.spans import Span

SOURCE = "وصل رئيس الوزراء إلى بغداد اليوم."


@pytest.mark.parametrize(
    "output", [SOURCE, f"Today {SOURCE}", "رئيس الوزراء إلى بغداد", "وصل رئيس الوزراء to بغداد"]
)
def test_a_copy_is_untranslated(output: str) -> None:
    """An output that is mostly the source is one finding over both texts."""
    (finding,) = find_copied(SOURCE, output, "ar", "en")
    assert finding.kind is Kind.UNTRANSLATED
    assert (finding.source, finding.target) == (Span(0, len(SOURCE)), Span(0, len(output)))


def test_an_arabic_word_left_in_english_is_found() -> None:
    """The finding points to the word in both texts."""
    output = "The prime minister of الوزراء arrived today."
    (finding,) = find_copied(SOURCE, output, "ar", "en")
    assert finding.kind is Kind.WRONG_SCRIPT
    assert finding.source is not None
    assert finding.target is not None
    assert finding.source.of(SOURCE) == finding.target.of(output) == "الوزراء"


def test_neighbouring_words_are_one_finding() -> None:
    """A run of foreign words is told once."""
    output = "He arrived at the old city, رئيس الوزراء, and then left it again."
    (finding,) = find_copied(SOURCE, output, "ar", "en")
    assert finding.target is not None
    assert finding.target.of(output) == "رئيس الوزراء"


def test_other_scripts_are_found_unless_the_source_has_them() -> None:
    """A Greek letter of the source may stay; an invented Cyrillic word may not."""
    assert find_copied("الزاوية λ كبيرة", "The angle λ is large", "ar", "en") == []
    (finding,) = find_copied(SOURCE, "He came to Москва today, they say", "ar", "en")
    assert finding.kind is Kind.WRONG_SCRIPT


def test_copies_within_one_script_are_found_by_their_phrases() -> None:
    """From German into English a copied sentence is a copy, and names are none."""
    german = "Der Präsident der Republik Frankreich kam gestern Abend in Berlin an."
    (finding,) = find_copied(german, german, "de", "en")
    assert finding.kind is Kind.UNTRANSLATED
    english = "The president of France arrived in Berlin yesterday evening."
    assert find_copied(german, english, "de", "en") == []


def test_english_within_arabic_may_stay() -> None:
    """What is not in the source language is rightly copied."""
    source = "مقال: To be or not to be, that is the question"
    assert find_copied(source, "Essay: To be or not to be, that is the question", "ar", "en") == []


def test_an_arabic_summary_may_hold_the_names_of_its_article() -> None:
    """Latin letters are wrong only where they are most of it and not the article's."""
    article = "أعلنت شركة Microsoft Dynamics Commerce عن إصدار جديد."
    assert find_foreign_letters(article, "Microsoft Dynamics Commerce جديد", "ar") == []
    (finding,) = find_foreign_letters(article, "The company announced a release.", "ar")
    assert finding.kind is Kind.WRONG_SCRIPT
    (finding,) = find_foreign_letters(article, "أعلنت компания عن إصدار", "ar")
    assert finding.detail == "компания"


def test_a_latin_summary_may_be_latin() -> None:
    """Nothing is said of a summary in a language of Latin letters."""
    assert find_foreign_letters("Der Präsident kam an.", "Präsident angekommen", "de") == []
