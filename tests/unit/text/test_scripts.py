"""Which script and language a text is in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khulasa_server.text.scripts import (
    dominant_script,
    has_letters,
    has_letters_of,
    is_translatable,
    language_of,
)

# fmt: off
XLSUM = [
    "am", "ar", "az", "bn", "my", "zh", "en", "fr", "gu", "ha", "hi", "ig", "id", "ja", "rn", "ko",
    "ky", "mr", "ne", "om", "ps", "fa", "pcm", "pt", "pa", "ru", "gd", "sr", "si", "so", "es", "sw",
    "ta", "te", "th", "ti", "tr", "uk", "ur", "uz", "vi", "cy", "yo",
]
# fmt: on
ANY_TEXT = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    "text", ["", " ", "123", "٤٥٦", "😀", "ـــ", "\u064b", "...", "\ud800", "①"]
)
def test_no_letters(text: str) -> None:
    """Digits, emoji, marks, tatweel and broken text hold no letter of any language."""
    assert not has_letters(text)
    assert not has_letters_of(text, "ar")
    assert not has_letters_of(text, "xx")
    assert dominant_script(text) == ""
    assert language_of(text) == ""


@pytest.mark.parametrize(
    ("text", "script", "language"),
    [
        ("مرحبا بالعالم", "Arabic", "ar"), ("ﻣﺮﺣﺒﺎ", "Arabic", "ar"), ("ﷺ", "Arabic", "ar"),
        ("Hello", "Latin", ""), ("Привет", "Cyrillic", ""), ("你好世界", "Han", "zh"),
        ("日本語です", "Han", "ja"), ("ひらがな", "Hiragana", "ja"), ("한국어", "Hangul", "ko"),
        ("नमस्ते", "Devanagari", ""), ("שלום", "Hebrew", "he"), ("Γειά", "Greek", "el"),
        ("ᏣᎳᎩ", "Unknown", ""), ("ᏣᎳᎩ a", "Unknown", ""), ("مرحبا abc", "Arabic", "ar"),
        ("abcd مرح", "Latin", ""),
    ],
)  # fmt: skip
def test_dominant_script(text: str, script: str, language: str) -> None:
    """The script most letters are of is named, and the language where it has one only."""
    assert dominant_script(text) == script
    assert language_of(text) == language


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("مرحبا", "ar", True), ("ﻣﺮﺣﺒﺎ", "ar", True), ("Hello", "ar", False), ("Hi م", "ar", True),
        ("مرحبا", "fa", True), ("مرحبا", "ar-EG", True), ("م", "AR_eg", True), ("م", "en", False),
        ("я", "sr", True), ("ja", "sr", True), ("я", "sr-Latn", False), ("я", "uz-Cyrl-UZ", True),
        ("你", "zh-Hant", True), ("的", "ja", True), ("か", "ja", True), ("я", "tlh", True),
        ("я", "", True),
    ],
)  # fmt: skip
def test_letters_of_a_language(text: str, language: str, expected: bool) -> None:  # noqa: FBT001 - a table's column
    """A letter counts for every language of its script; for an unknown language all do."""
    assert has_letters_of(text, language) is expected


@pytest.mark.parametrize("language", XLSUM)
def test_every_language_of_the_summarizer_has_a_script(language: str) -> None:
    """No language that is summarized takes any letter at all for its own."""
    assert not has_letters_of("Ꭳ", language)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://ar.wikipedia.org/wiki/العراق", False), ("@أحمد 😀", False), ("a@b.com", False),
        ("www.a.com/ب", False), ("انظر https://a.b", True), ("#العراق", False), ("كلمة", True),
        ("Hello", False), ("https://a.b، نعم", True),
    ],
)  # fmt: skip
def test_addresses_are_not_translated(text: str, expected: bool) -> None:  # noqa: FBT001 - a table's column
    """Letters inside an address, a tag or a mention are nothing to translate."""
    assert is_translatable(text, "ar") is expected


@given(ANY_TEXT, st.sampled_from(XLSUM))
def test_answers_agree(text: str, language: str) -> None:
    """What is translatable has letters of the language, and letters have a script."""
    assert has_letters(text) >= has_letters_of(text, language) >= is_translatable(text, language)
    assert has_letters(text) == (dominant_script(text) != "")
