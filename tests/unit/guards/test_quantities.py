"""Numbers, however they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khulasa_server.guards.quantities import numerals_of, quantities_of

UNITS = [
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    "nineteen",
]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
AR_UNITS = ["واحد", "اثنان", "ثلاثة", "أربعة", "خمسة", "ستة", "سبعة", "ثمانية", "تسعة", "عشرة"]
AR_TENS = ["عشرون", "ثلاثون", "أربعون", "خمسون", "ستون", "سبعون", "ثمانون", "تسعون"]
AR_HUNDREDS = [
    *("مئة", "مئتان", "ثلاثمئة", "أربعمائة", "خمسمئة", "ستمائة", "سبعمئة", "ثمانمئة", "تسعمائة"),
]


def english(n: int) -> str:
    """A number up to 999,999 in English words."""
    if n >= 1_000:
        head = f"{english(n // 1_000)} thousand"
        return f"{head} {english(n % 1_000)}" if n % 1_000 else head
    if n >= 100:
        head = f"{UNITS[n // 100]} hundred"
        return f"{head} and {english(n % 100)}" if n % 100 else head
    if n < 20:
        return UNITS[n]
    ten = TENS[n // 10 - 2]
    return f"{ten}-{UNITS[n % 10]}" if n % 10 else ten


def _arabic_below_100(n: int) -> str:
    if n <= 10:
        return AR_UNITS[n - 1]
    if n < 20:
        return f"{['أحد', 'اثنا'][n - 11] if n < 13 else AR_UNITS[n - 11]} عشر"
    ten = AR_TENS[n // 10 - 2]
    return f"{AR_UNITS[n % 10 - 1]} و{ten}" if n % 10 else ten


def _arabic_thousands(n: int) -> str:
    if n <= 2:
        return ("ألف", "ألفان")[n - 1]
    return f"{arabic(n)} {'آلاف' if n <= 10 else 'ألفا'}"


def arabic(n: int) -> str:
    """A number from 1 to 999,999 in Arabic words."""
    parts = []
    if n >= 1_000:
        parts.append(_arabic_thousands(n // 1_000))
    if n % 1_000 >= 100:
        parts.append(AR_HUNDREDS[n % 1_000 // 100 - 1])
    if n % 100:
        parts.append(_arabic_below_100(n % 100))
    return " و".join(parts)


def values(text: str) -> list[set[str]]:
    """The meanings of each number of a text."""
    return [set(quantity.values) for quantity in quantities_of(text)]


@given(st.integers(0, 999_999))
def test_english_words_are_read(n: int) -> None:
    """A number in English words is one number, the right one."""
    (found,) = values(f"They saw {english(n)} stars")
    assert str(n) in found


@given(st.integers(1, 999_999))
def test_arabic_words_are_read(n: int) -> None:
    """A number in Arabic words is one number, the right one, also with particles before it."""
    for text in (f"رأى {arabic(n)} نجم", f"أكثر من ذلك وب{arabic(n)} نجم"):
        (found,) = values(text)
        assert str(n) in found


@given(st.integers(0, 10**9), st.sampled_from(["٠١٢٣٤٥٦٧٨٩", "۰۱۲۳۴۵۶۷۸۹", "०१२३४५६७८९"]))
def test_digits_of_all_scripts_are_read(n: int, digits: str) -> None:
    """A numeral means the same in all digits, with thousands marks and without."""
    native = str.maketrans("0123456789,", f"{digits}٬")
    for numeral in (str(n), f"{n:,}"):
        assert values(f"x {numeral.translate(native)} x") == values(f"x {numeral} x")
        assert str(n) in values(f"x {numeral} x")[0]


@pytest.mark.parametrize(
    ("arabic_text", "english_text"),
    [
        ("٣٫٥٪", "3.5%"),
        ("3,5 في المئة", "3.5 percent"),
        ("1,2 مليون", "1.2 million"),
        ("١٬٢٣٤٬٥٦٧", "1,234,567"),
        ("783،562 كيلومترا", "783,562 kilometres"),
        ("10 000 شخص", "10,000 people"),
        ("مليونا شخص وأكثر", "a million people and more"),
        ("مليوني شخص", "two million people"),
        ("2.5 مليار دولار", "$2.5bn"),
        ("5 ملايين", "5,000,000"),
        ("خمسة وعشرون ألفا", "25,000"),
        ("ألف وتسعمئة وخمسة وتسعون", "1995"),
        ("القرن التاسع عشر", "the 19th century"),
        ("ثلاثينيات القرن التاسع عشر", "the 1830s"),
        ("ثلاثينيات القرن الماضي", "the 1930s"),
        ("في السبعينيات", "in the 1970s"),
        ("الساعة 15:30", "3:30 pm"),
        ("الساعة 9:30", "09.30"),
        ("الساعة الخامسة صباحا", "5 am"),
        ("العاشرة والنصف", "10:30"),
        ("ساعة ونصف", "1.5 hours"),
        ("ساعتين ونصف", "2.5 hours"),
        ("ثلاثة أرباع", "75%"),
        ("نصف السكان", "50% of the people"),
        ("ثلثا السكان", "two thirds of them"),
        ("مرتين", "twice"),
        ("24 جائزة", "two dozen awards"),
        ("لويس الرابع عشر", "Louis XIV"),
        ("الحادي والعشرين", "twenty-first"),
        ("1914-1918", "1914-18"),
        ("ألفا موظف", "2,000 staff"),
        ("ثَلاثَةَ عَشَرَ", "thirteen"),
        ("عشرين", "twenty"),
        ("عشر سنوات", "ten years"),
    ],
)
def test_both_languages_mean_the_same(arabic_text: str, english_text: str) -> None:
    """Each number on one side has a counterpart on the other."""
    given_values = set().union(*values(arabic_text))
    written = [quantity for quantity in quantities_of(english_text) if quantity.firm]
    assert all(given_values & quantity.values for quantity in written)
    assert given_values & set().union(*values(english_text))


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("340 مليون و500 مليون متحدث", ["340 مليون", "500 مليون"]),
        ("بين مليوني وثلاثة ملايين عام", ["مليوني", "وثلاثة ملايين"]),
        ("two million and three million years", ["two million", "three million"]),
        ("1980 و1990", ["1980", "1990"]),
        ("five and six", ["five", "six"]),
        ("بعد عام 1993، 12 شخصا", ["1993", "12"]),
        ("12.5.2010", ["12.5.2010"] * 3),
    ],
)
def test_numbers_in_a_row_stay_apart(text: str, numbers: list[str]) -> None:
    """Where one number ends and the next begins is told by their size and links."""
    assert [quantity.span.of(text) for quantity in quantities_of(text)] == numbers


@pytest.mark.parametrize(
    "text",
    [
        "لست أدري",
        "3 مم2".replace("3 ", ""),
        "50 km2".replace("50 ", ""),
        "في المئة",
        "Wild West وست",
    ],
)
def test_what_is_no_number_is_none(text: str) -> None:
    """Words that look like numbers, squares and percent signs are none."""
    assert quantities_of(text) == []


@pytest.mark.parametrize(
    "text", ["Six Flags".replace("Six", "the Six"), "thousands", "first", "a few"]
)
def test_loose_numbers_ask_for_no_counterpart(text: str) -> None:
    """Names, scales without a number and small ordinals account for numbers, no more."""
    assert not any(quantity.firm for quantity in quantities_of(text))


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from("0123٤٥,.:،- ألفمئةو"))))
def test_numbers_stand_where_they_are_told_to(text: str) -> None:
    """In any Unicode text every number has a place that is not empty, in order."""
    for found in (quantities_of(text), numerals_of(text)):
        assert all(0 <= number.start < number.end <= len(text) for number in found)
        assert [number.start for number in found] == sorted(number.start for number in found)
