"""Training data as files in a directory; `README.md` beside this file says what is in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

PAIRS = "pairs.tsv"
DISTILLED = "distilled.tsv"
DOCUMENTS = "docs_ar.txt"


class DataError(Exception):
    """Training data cannot be read; the message names file and line."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A text and its translation.

    Args:
        source: where it comes from, as in the first column of `pairs.tsv`.
        arabic: one sentence or phrase.
        english: its translation.
        links: of each English word, the number of the Arabic word that it translates, -1 for none;
            empty where nothing is known.
    """

    source: str
    arabic: str
    english: str
    links: tuple[int, ...] = ()


def read_pairs(directory: Path) -> list[Pair]:
    """Every pair of a data directory, in the order of its files.

    Raises:
        DataError: a file is missing, or a line has too few columns.
    """
    pairs = [
        Pair(source, arabic, english)
        for source, _, arabic, english in _columns(directory / PAIRS, 4)
    ]
    distilled = _columns(directory / DISTILLED, 2)
    return [*pairs, *(Pair("distilled", arabic, english) for arabic, english in distilled)]


def read_documents(directory: Path) -> list[str]:
    """Sentences of Arabic documents, in the order in which they stand there.

    Raises:
        DataError: the file is missing.
    """
    return [line for (line,) in _columns(directory / DOCUMENTS, 1)]


def read_dev(path: Path, count: int) -> list[tuple[str, str]]:
    """The first `count` pairs of a development set: Arabic TAB English.

    Raises:
        DataError: the file is missing, or a line has too few columns.
    """
    rows = _columns(path, 2)
    return [(arabic, english) for _, (arabic, english) in zip(range(count), rows, strict=False)]


def _columns(path: Path, count: int) -> Iterator[tuple[str, ...]]:
    """The first `count` TAB-separated columns of every line."""
    if not path.is_file():
        raise DataError(f"{path} is missing; see the README of training for what is in it")
    with path.open(encoding="utf-8", newline="\n") as lines:
        for number, line in enumerate(lines, start=1):
            columns = tuple(line.rstrip("\n").split("\t")[:count])
            if len(columns) < count:
                raise DataError(f"{path}, line {number}, has {len(columns)} of {count} columns")
            yield columns


def weights_of(pairs: Sequence[Pair], weights: Mapping[str, float]) -> list[float]:
    """How often each pair is seen in an epoch.

    Args:
        pairs: what there is.
        weights: of each source, by the longest beginning of its name that is listed.

    Raises:
        DataError: nothing listed fits a source.
    """
    found: dict[str, float] = {}
    for pair in pairs:
        if pair.source not in found:
            found[pair.source] = _weight(pair.source, weights)
    return [found[pair.source] for pair in pairs]


def _weight(source: str, weights: Mapping[str, float]) -> float:
    fitting = [name for name in weights if source.startswith(name)]
    if not fitting:
        raise DataError(f"source {source!r} has no weight; there are {', '.join(weights)}")
    return weights[max(fitting, key=len)]
