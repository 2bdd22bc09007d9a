"""Short pairs joined into longer ones.

In a row of words that have nothing to do with each other none can be guessed from those before it:
each must be looked up in the source, once. That is what a small decoder does not learn from
sentences alone, and it costs little, as many words share one sequence.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from training.alignments import NONE
from training.sources import Pair

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator, Sequence

PHRASES: Final = "lex:"
"""How the sources of words and names begin; they are learned from in rows only."""

_DICTIONARY: Final = "lex:freedict"
_JOINTS: Final = ((" ", " "), ("، ", ", "), (" و", " and "))
_ROW = (3, 14)
_SENTENCES = (2, 4)
_JOINED = 0.3
_LETTERS = re.compile(r"[a-z]+")


def known(pairs: Sequence[Pair]) -> list[bool]:
    """Which pairs are worth learning: of a dictionary, those of words that sentences use.

    FreeDict's dictionary has five rare words for each common one.
    """
    used = {
        word
        for pair in pairs
        if not pair.source.startswith(_DICTIONARY)
        for word in _LETTERS.findall(pair.english.lower())
    }
    return [
        not pair.source.startswith(_DICTIONARY)
        or used.issuperset(_LETTERS.findall(pair.english.lower()))
        for pair in pairs
    ]


def join(pairs: Iterable[Pair], rng: random.Random) -> Iterator[Pair]:
    """The same pairs, phrases in rows, and a part of the sentences in groups.

    Args:
        pairs: in random order.
        rng: for what is joined, and how.

    Yields:
        Pairs whose texts are those of `pairs`, each once.
    """
    row: list[Pair] = []
    group: list[Pair] = []
    wanted, together = rng.randint(*_ROW), rng.randint(*_SENTENCES)
    for pair in pairs:
        if pair.source.startswith(PHRASES):
            row.append(_phrase(pair))
            if len(row) == wanted:
                yield _joined(row, rng.choice(_JOINTS))
                row, wanted = [], rng.randint(*_ROW)
        elif rng.random() < _JOINED:
            group.append(pair)
            if len(group) == together:
                yield _joined(group, _JOINTS[0])
                group, together = [], rng.randint(*_SENTENCES)
        else:
            yield pair
    yield from (_joined(rest, _JOINTS[0]) for rest in (row, group) if rest)


def _phrase(pair: Pair) -> Pair:
    """As it stands within a sentence: dictionaries begin words with a capital."""
    dictionary = pair.source.startswith(_DICTIONARY)
    return replace(pair, english=pair.english.lower()) if dictionary else pair


def _joined(pairs: Sequence[Pair], joint: tuple[str, str]) -> Pair:
    arabic, english = joint
    return Pair(
        pairs[0].source,
        arabic.join(pair.arabic for pair in pairs),
        english.join(pair.english for pair in pairs),
        tuple(_links(pairs, words_between=len(english.split(" ")) - 2)),
    )


def _links(pairs: Sequence[Pair], words_between: int) -> Iterator[int]:
    """Of the words of a row; those of the joints translate no word of their own."""
    before = 0
    for number, pair in enumerate(pairs):
        if number:
            yield from [NONE] * words_between
        links = pair.links or [NONE] * len(pair.english.split())
        yield from (link if link == NONE else before + link for link in links)
        before += len(pair.arabic.split())
