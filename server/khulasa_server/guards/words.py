"""A text as words with their places."""

from __future__ import annotations

from typing import NamedTuple

import regex

# A word keeps its vowel marks (\p{M}): Arabic and Indic ones would fall apart without.
_WORD = regex.compile(r"[^\W_][\w\p{M}\u0640]*(?:['’][^\W_]+)*")


class Word(NamedTuple):
    """One word: its case-folded form and its half-open place, in code points."""

    form: str
    start: int
    end: int


def forms_of(text: str) -> list[str]:
    """The forms of `words_of`, sooner: `text` is folded as a whole, which may change its length."""
    return _WORD.findall(text.casefold())


def words_of(text: str) -> list[Word]:
    """Words and numerals of `text`, in order."""
    return [Word(match.group().casefold(), *match.span()) for match in _WORD.finditer(text)]
