"""Numbers written in digits."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

_NON_ASCII_DIGIT = re.compile(r"[^\D0-9]")
_SEPARATORS = str.maketrans("٫٬،'’ \u00a0\u202f", ".,,,,,,,")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_POINTED = re.compile(r"\d{1,3}(?:\.\d{3})+")
_DECIMAL = re.compile(r"(\d+)[.,](\d+)")
_CLOCK = re.compile(r"([01]?\d|2[0-4])[:.]([0-5]\d)(?::[0-5]\d)?")
_HOURS = re.compile(r"([01]\d|2[0-4])([0-5]\d)")
_DIGITS = re.compile(r"\d+")
_DECADE = re.compile(r"['’]?s\b")
_SCALE = re.compile(r"(bn|[kKmM])\b")
_YEARS_A_DECADE, _YEARS_A_CENTURY = 10, 100
_DATED_DECADES = range(1700, 2101)
_SCALES = {"k": 1e3, "m": 1e6, "bn": 1e9}


class Numeral(NamedTuple):
    """A number in digits: what it most likely is, and all that it may mean."""

    value: float
    values: set[str]


def with_ascii_digits(text: str) -> str:
    """`text` with the decimal digits of all scripts as 0 to 9, as long as before."""
    if text.isascii():
        return text
    return _NON_ASCII_DIGIT.sub(lambda match: str(unicodedata.decimal(match.group())), text)


def plain(value: float) -> str:
    """A number as it is compared."""
    return f"{value:.12g}"


def time_of_day(hour: float, minute: float) -> str:
    """A time as it is compared: on a dial of twelve hours, since either side may use one."""
    return f"t{(hour * 60 + minute) % 720:g}"


def month(value: float) -> str:
    """A month as it is compared: its name accounts for it in a date and for no other number."""
    return f"m{value:g}"


def read_numerals(written: str) -> list[Numeral]:
    """What digits with their separators may mean; several numbers where it is a date or a list."""
    normal = written.translate(_SEPARATORS)
    if normal.isdigit():
        return [_numeral(float(normal), _hours(_HOURS, normal))]
    if _THOUSANDS.fullmatch(normal):
        return [_numeral(float(normal.replace(",", "")))]
    if _POINTED.fullmatch(normal):
        whole = _numeral(float(normal.replace(".", "")))
        if normal.count(".") == 1:
            whole.values.add(plain(float(normal)))
        return [whole]
    times = _hours(_CLOCK, normal)
    if match := _DECIMAL.fullmatch(normal):
        return [_numeral(float(f"{match[1]}.{match[2]}"), times)]
    if times:
        return [Numeral(float(normal.split(":")[0]), times | {normal})]
    return [_numeral(float(part), {normal, month(float(part))}) for part in _DIGITS.findall(normal)]


def _numeral(value: float, also: set[str] | None = None) -> Numeral:
    return Numeral(value, {plain(value)} | (also or set()))


def _hours(pattern: re.Pattern[str], normal: str) -> set[str]:
    match = pattern.fullmatch(normal)
    if match is None:
        return set()
    hour, minute = int(match[1]), int(match[2])
    times = {time_of_day(hour, minute)}
    if ":" in normal and not minute:
        times |= {plain(hour), plain((hour - 1) % 12 + 1)}
    return times


def suffix_values(value: float, text: str, end: int) -> set[str]:
    """What the letters after a numeral that ends at `end` make of it: the 1960s, 5bn, $5m."""
    if value and value % _YEARS_A_DECADE == 0 and _DECADE.match(text, end):
        return decade_values(value)
    if match := _SCALE.match(text, end):
        return {plain(value * _SCALES[match[1].lower()])}
    return set()


def decade_values(value: float) -> set[str]:
    """The 60s may be the 1960s, the 1960s the sixties, the 1800s the 19th century."""
    if value < _YEARS_A_CENTURY:
        return {plain(century + value) for century in (0, 1800, 1900)}
    if value not in _DATED_DECADES:
        return {plain(value)}
    return {plain(value), plain(value % _YEARS_A_CENTURY or value // _YEARS_A_CENTURY + 1)}
