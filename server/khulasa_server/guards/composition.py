"""How the words of one number add up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from khulasa_server.guards.number_words import Role

if TYPE_CHECKING:
    from khulasa_server.guards.number_words import NumberWord

_LARGEST = 1e15
_TEN, _TWENTY, _HUNDRED = 10, 20, 100


class Composition:
    """A number while its words are read, one after the other.

    `group` is what the next scale multiplies: in "two million three hundred" first 2, then 300.
    Each `take` says whether the word belongs to this number; if not, nothing has changed.

    Args:
        is_digits: a numeral is part of it.
        is_bare: it is a scale and nothing else: thousands, a million.
        is_ordinal: its last word is an ordinal: the fifth.
        scale: the last scale, thousand and up; 1 where there was none.
    """

    def __init__(self) -> None:
        self.is_digits = False
        self.is_bare = False
        self.is_ordinal = False
        self.scale = 1.0
        self._limit = _LARGEST
        self._total = 0.0
        self._group = 0.0
        self._closed = False
        self._empty = True

    @property
    def value(self) -> float:
        """The number so far."""
        return self._total + self._group

    def take_numeral(self, value: float, *, linked: bool) -> bool:
        """Begin with digits, or go on with them after "مليون و"."""
        if not self._empty and not (linked and self.is_open() and value < self._limit):
            return False
        self._group, self._closed, self.is_digits, self._empty = value, True, True, False
        return True

    def take_word(self, word: NumberWord, *, linked: bool) -> bool:
        """Go on with a word; `linked`: an "and" stands before it."""
        takers = {
            Role.ADD: self._take_add,
            Role.TEEN: self._take_teen,
            Role.HUNDRED: self._take_hundred,
            Role.SCALE: self._take_scale,
        }
        if not takers[word.role](word, linked=linked):
            return False
        self.is_bare = self._empty and word.role is Role.SCALE and word.times == 1
        self.is_ordinal, self._empty = word.ordinal, False
        return True

    def split(self) -> Composition:
        """Give up what came after the last scale: in "340 million and 500" it is the 500.

        Returns:
            That part, which a scale as large as the last may then multiply.
        """
        tail = Composition()
        tail.is_digits, tail._closed, tail._empty = self.is_digits, self._closed, False
        tail._group, self._group = self._group, 0.0
        return tail

    def is_open(self) -> bool:
        """Whether a scale came last, so that something smaller may follow."""
        return self._total > 0 and self._group == 0

    def _take_add(self, word: NumberWord, *, linked: bool) -> bool:
        if (
            word.arabic
            and word.value == _TEN
            and not self._empty
            and self._take_teen(word, linked=linked)
        ):
            return True
        if not self._empty and not self._may_add(word, linked=linked):
            return False
        self._group += word.value
        return True

    def _may_add(self, word: NumberWord, *, linked: bool) -> bool:
        if self._closed or word.value == 0:
            return False
        rest = self._group % _HUNDRED
        if word.value >= _HUNDRED:
            return linked and self.is_open()
        if rest == 0:
            return linked or not word.arabic
        if word.arabic:
            return linked and word.value >= _TWENTY and rest < _TEN
        return not linked and word.value < _TEN and rest >= _TWENTY and rest % _TEN == 0

    def _take_teen(self, word: NumberWord, *, linked: bool) -> bool:
        if self._empty:
            self._group = word.value
            return True
        if self._closed or linked or not 1 <= self._group % _HUNDRED < _TEN:
            return False
        self._group += word.value
        return True

    def _take_hundred(self, word: NumberWord, *, linked: bool) -> bool:
        if self._empty or (linked and self.is_open()):
            self._group += word.value
        elif not linked and 1 <= self._group < _TEN:
            self._group *= word.value
        else:
            return False
        return True

    def _take_scale(self, word: NumberWord, *, linked: bool) -> bool:
        if self._empty:
            self._total = word.value * word.times
        elif linked and self.is_open() and word.value < self._limit:
            self._total += word.value * word.times
        elif not linked and self._group and word.times == 1 and word.value < self._limit:
            self._total += self._group * word.value
        elif not linked and self.is_open() and word.times == 1:
            self._total *= word.value
        else:
            return False
        self._group, self._closed = 0.0, False
        self._limit = self.scale = word.value
        return True
