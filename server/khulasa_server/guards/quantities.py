"""Numbers of a text as values that can be compared between languages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from khulasa_server.guards.composition import Composition
from khulasa_server.guards.number_words import MARKS, NUMBER_WORDS, NumberWord, Role, fold
from khulasa_server.guards.numerals import (
    decade_values,
    month,
    plain,
    read_numerals,
    suffix_values,
    time_of_day,
    with_ascii_digits,
)
from khulasa_server.guards.thresholds import THRESHOLDS
from khulasa_server.text.spans import Span


class Quantity(NamedTuple):
    """One number in a text.

    Args:
        values: what it may mean; it agrees with a number that shares one of them.
        start: where it begins, in code points.
        end: where it ends.
        firm: it must have a counterpart; others only are one.
        digits: it is written in digits, at least in part.
    """

    values: frozenset[str]
    start: int
    end: int
    firm: bool
    digits: bool = False

    @property
    def span(self) -> Span:
        """Where it stands."""
        return Span(self.start, self.end)


@dataclass(slots=True)
class _Open:
    """A number that may go on with the next word.

    Args:
        number: what was read of it.
        start: where it begins.
        end: where it ends so far.
        also: further meanings while it is but one word.
        tail: where its last scale ends and where what came after it begins; empty: nothing did.
    """

    number: Composition
    start: int
    end: int
    also: set[str]
    tail: tuple[int, int] | None = None

    def take_numeral(self, value: float, start: int, end: int, *, linked: bool) -> bool:
        tail = (self.end, start)
        if not self.number.take_numeral(value, linked=linked):
            return False
        self.end, self.also, self.tail = end, set(), tail
        return True

    def take_word(self, word: NumberWord, start: int, end: int, *, linked: bool) -> bool:
        tail = (self.end, start) if self.number.is_open() else self.tail
        if not self.number.take_word(word, linked=linked):
            return False
        self.end, self.also = end, set()
        self.tail = None if word.role is Role.SCALE else tail
        return True


# One pass: a numeral with its separators, or a word with its vowel marks. What has more parts than
# a date with its time is no single number.
_TOKEN = re.compile(
    r"(\d{1,3}(?:[ \u00a0\u202f]\d{3})+(?![\d.,:])|\d+(?:[.,:٫٬،]\d+){0,5})"
    r"|[^\W\d_][^\W\d_\u064b-\u0652\u0670]*(?:[\u064b-\u0652\u0670]+[^\W\d_]*)*"
)
_COMPOSED = frozenset({Role.ADD, Role.TEEN, Role.HUNDRED, Role.SCALE})
_GAP = re.compile(r"(?:\s*-\s*|\s+)(and\s+|و\s*)?(?:an?\s+)?")
_RANGE = re.compile(r"(\d\d)\d\d\s?[-–/]\s?$")
_DUAL_ENDINGS = frozenset({"ين", "ان"})
_SHORTEST_DUAL = 5
_LARGEST_NUMERATOR = 9
_ROMAN = re.compile(r"(?=..|[VX])(X{0,3})(IX|IV|V?I{0,3})")
_ROMAN_LETTERS = frozenset("xvi")
_ROMAN_UNITS = ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")
_SQUARED = frozenset(["km", "m", "cm", "mm", "ft", "mi", "كم", "م", "سم", "مم"])
_LAST = frozenset({"الماضي", "المنصرم"})
_LAST_CENTURY = 20
_TWICE_A_THOUSAND = "الفا"
_NEXT, _NEAR = 2, 24
"""Most code points between a word and the next, and one or two words further on."""


def quantities_of(text: str) -> list[Quantity]:
    """Numbers of `text`, in order: digits, number words and what may account for one."""
    return _Reader(with_ascii_digits(text)).read()


def _is_firm(number: Composition) -> bool:
    """Whether translators keep such a number in words: not "a thousand thanks" or "first"."""
    if number.is_bare:
        return False
    least = THRESHOLDS.firm_ordinal if number.is_ordinal else THRESHOLDS.firm_number
    return number.value >= least


def numerals_of(text: str) -> list[Quantity]:
    """Numbers of `text` in digits, as they stand: without the words around them."""
    return [
        Quantity(frozenset(numeral.values), *match.span(), firm=True, digits=True)
        for match in _TOKEN.finditer(with_ascii_digits(text))
        if match[1]
        for numeral in read_numerals(match[1])
    ]


class _Reader:
    """Reads one text from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._found: list[Quantity] = []
        self._open: _Open | None = None
        self._last = Composition()
        self._before = ("", 0)
        self._decade: tuple[int, float] | None = None
        self._century_end = -1

    def read(self) -> list[Quantity]:
        text = fold(self._text)
        is_marked = MARKS.search(text) is not None
        for match in _TOKEN.finditer(text):
            form = match[0]
            if match[1]:
                self._read_numeral(form, match.start(), match.end())
            else:
                form = MARKS.sub("", form) if is_marked else form
                self._read_token(form, match)
            self._before = (form, match.end())
        self._close()
        return self._found

    def _read_token(self, form: str, match: re.Match[str]) -> None:
        if word := NUMBER_WORDS.get(form):
            self._read_word(word, form, *match.span())
        elif form[-2:] in _DUAL_ENDINGS and len(form) >= _SHORTEST_DUAL:
            self._hint(2, *match.span())
        elif form[:1] in _ROMAN_LETTERS or form in _LAST:
            self._read_other(form, *match.span())

    def _read_numeral(self, written: str, start: int, end: int) -> None:
        if written in ("2", "3") and self._before[1] == start and self._before[0] in _SQUARED:
            return
        first, *others = read_numerals(written)
        gap = self._gap(start)
        if self._open and gap:
            linked = bool(gap[1])
            if self._open.take_numeral(first.value, start, end, linked=linked):
                return
        self._close()
        if others:
            for numeral in (first, *others):
                self._add(numeral.values, start, end, firm=True, digits=True)
            return
        also = first.values | suffix_values(first.value, self._text, end)
        if years := _RANGE.search(self._text, max(start - 8, 0), start):
            also.add(plain(100 * int(years[1]) + first.value % 100))
        if "/" in (self._text[start - 1 : start], self._text[end : end + 1]):
            also.add(month(first.value))
        number = Composition()
        number.take_numeral(first.value, linked=False)
        self._open = _Open(number, start, end, also)

    def _read_word(self, word: NumberWord, form: str, start: int, end: int) -> None:
        if word.role in _COMPOSED:
            if word.role is not Role.HUNDRED or self._before[0] != "في":
                self._compose(word, form, start, end)
            return
        self._close()
        if word.role is Role.FRACTION:
            self._read_fraction(word, start, end)
        elif word.role is Role.CENTURY:
            self._century_end = end
            self._hint(word.value, start, end)
        elif word.role is Role.DECADE:
            self._decade = (len(self._found), word.value)
            self._add(decade_values(word.value), start, end, firm=True)
        elif word.role is Role.MONTH:
            self._add({month(word.value), *map(month, word.also)}, start, end, firm=False)
        elif word.role in (Role.HINT, Role.DUAL):
            self._hint(word.value, start, end, firm=word.role is Role.DUAL)

    def _compose(self, word: NumberWord, form: str, start: int, end: int) -> None:
        gap = self._gap(start)
        if self._open and gap:
            linked = word.linked or bool(gap[1])
            if self._open.take_word(word, start, end, linked=linked):
                return
            if word.role is Role.SCALE and self._open.tail and not linked:
                self._split(*self._open.tail, end=self._open.end)
                self._open.take_word(word, start, end, linked=False)
                return
        self._close()
        number = Composition()
        if number.take_word(word, linked=False):
            also = {"2000"} if form.endswith(_TWICE_A_THOUSAND) else set()
            self._open = _Open(number, start, end, also)

    def _split(self, end_of_scale: int, start_of_tail: int, *, end: int) -> None:
        """Take down the number up to its last scale, and go on with what came after it."""
        if self._open is None:
            return
        tail = self._open.number.split()
        self._open.end = end_of_scale
        self._close()
        self._open = _Open(tail, start_of_tail, end, set())

    def _read_fraction(self, word: NumberWord, start: int, end: int) -> None:
        """Half an hour, two and a half, three quarters, half past ten, half of all."""
        share, whole = word.value, self._last.value
        near = self._found and start - self._found[-1].end < _NEAR
        gap = self._gap(start)
        linked = word.linked or bool(gap and gap[1])
        values = {plain(share), plain(100 * share), plain(60 * share), plain(round(1 / share))}
        if near and linked:
            last = self._found.pop()
            more = {plain(whole + share), plain(whole + share * self._last.scale)}
            more.add(time_of_day(whole, 60 * share))
            self._found.append(last._replace(values=last.values | more))
        elif linked:
            values.add(plain(1 + share))
        elif near and gap and 1 < whole <= _LARGEST_NUMERATOR:
            values |= {plain(whole * share), plain(100 * whole * share)}
        self._add(values, start, end, firm=False)

    def _read_other(self, form: str, start: int, end: int) -> None:
        if form in _LAST:
            if start - self._century_end <= _NEXT:
                self._date_decade(_LAST_CENTURY, start)
        elif match := _ROMAN.fullmatch(self._text, start, end):
            self._hint(10 * len(match[1]) + _ROMAN_UNITS.index(match[2]), start, end)

    def _hint(self, value: float, start: int, end: int, *, firm: bool = False) -> None:
        self._close()
        self._last = Composition()
        self._last.take_numeral(value, linked=False)
        self._add({plain(value)}, start, end, firm=firm)

    def _gap(self, start: int) -> re.Match[str] | None:
        """What stands between the number so far and `start`, if nothing but a link does."""
        end = self._open.end if self._open else self._found[-1].end if self._found else start
        return _GAP.fullmatch(self._text, end, start)

    def _close(self) -> None:
        """Take down the number that was being read."""
        if self._open is None:
            return
        number, start, end, also = (
            self._open.number,
            self._open.start,
            self._open.end,
            self._open.also,
        )
        self._open, self._last = None, number
        dated = self._date_decade(number.value, start)
        # A number word with a capital within a sentence is a name: Six Flags.
        is_name = start > 0 and self._text[start].isupper()
        firm = number.is_digits or (_is_firm(number) and not dated and not is_name)
        values = also if number.is_digits and also else {plain(number.value)} | also
        self._add(values, start, end, firm=firm, digits=number.is_digits)

    def _date_decade(self, century: float, start: int) -> bool:
        """The thirties "of the nineteenth century" are the 1830s and nothing else."""
        if self._decade is None or not 0 <= start - self._century_end <= _NEXT:
            return False
        place, years = self._decade
        dated = frozenset({plain(100 * (century - 1) + years)})
        self._found[place] = self._found[place]._replace(values=dated)
        self._decade = None
        return True

    def _add(
        self, values: set[str], start: int, end: int, *, firm: bool, digits: bool = False
    ) -> None:
        self._found.append(Quantity(frozenset(values), start, end, firm, digits))
