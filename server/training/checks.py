"""What is counted about outputs besides BLEU, chrF and ROUGE."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import regex

if TYPE_CHECKING:
    from collections.abc import Sequence

_WORD = regex.compile(r"[\p{L}\p{N}]+")
_TATWEEL = "ـ"


def words(text: str) -> list[str]:
    """Words of a text as the models' tokenizers see them: no marks, plain letters and digits."""
    plain = unicodedata.normalize("NFKC", text).replace(_TATWEEL, "").casefold()
    letters = (letter for letter in plain if unicodedata.category(letter) not in {"Mn", "Cf"})
    digits = (_digit(letter) for letter in letters)
    return _WORD.findall("".join(digits))


def _digit(letter: str) -> str:
    return str(unicodedata.decimal(letter)) if unicodedata.category(letter) == "Nd" else letter


def invented(source: str, output: str) -> list[str]:
    """Words of an output that do not stand in its source, in their order."""
    known = set(words(source))
    return [word for word in words(output) if word not in known]


def share_grounded(sources: Sequence[str], outputs: Sequence[str]) -> float:
    """Share of outputs, 0 to 1, of which every word stands in the source."""
    pairs = zip(sources, outputs, strict=True)
    return sum(not invented(source, output) for source, output in pairs) / len(sources)
