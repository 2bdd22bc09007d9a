"""Made-up pieces, as many as are asked for, that cut real Arabic and English text sensibly."""

from __future__ import annotations

from itertools import count, islice, product
from typing import TYPE_CHECKING

from khulasa_server.bundles.building.pieces import Piece

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ARABIC = "ابتثجحخدذرزسشصضطظعغفقكلمنهويىةءأإآؤئ"
LATIN = "abcdefghijklmnopqrstuvwxyz"
_SIGNS = "0123456789٠١٢٣٤٥٦٧٨٩.,;:!?()[]{}\"'«»،؛؟-–/%&@#*+=_"
_SPACE = "▁"


def common(size: int) -> list[str]:
    """Digits, signs and numbers, which every language uses."""
    return list(islice(_common(), size))


def _common() -> Iterator[str]:
    yield _SPACE
    for sign in _SIGNS:
        yield sign
    for sign in _SIGNS:
        yield _SPACE + sign
    for number in count(10):
        yield f"{_SPACE}{number}"


def syllables(alphabet: str, size: int) -> list[str]:
    """Strings of letters, short ones first, each inside a word and at its beginning."""
    return list(islice(_syllables(alphabet), size))


def _syllables(alphabet: str) -> Iterator[str]:
    for length in count(1):
        for letters in product(alphabet, repeat=length):
            text = "".join(letters)
            yield text
            yield _SPACE + text


def scored(texts: Sequence[str]) -> list[Piece]:
    """The texts as pieces, the first ones the most probable."""
    return [Piece(text, -3.0 - 10.0 * rank / len(texts)) for rank, text in enumerate(texts)]
