"""A text cut for a page: what is linked, what is marked, and every code point once.

Browsers count UTF-16 units and findings overlap, so nothing is left to the page: here a text
becomes runs, each with all labels that lie over it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from khulasa_server.text.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Label:
    """Something said of a part of a text.

    Args:
        span: the part, in code points; empty: the place between two of them.
        id: of what is said, e.g. `f3`.
        tone: how it is drawn; empty: only together with what it belongs to.
    """

    span: Span
    id: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """A part of a text over which the same labels lie, and those of them that end with it."""

    text: str
    labels: tuple[Label, ...]
    ending: tuple[Label, ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """Runs that are linked as one; without ids, what stands between such."""

    ids: tuple[str, ...]
    runs: tuple[Run, ...]


def cut(text: str, within: Span, labels: Iterable[Label]) -> tuple[Run, ...]:
    """`within` of a text, cut where a label begins or ends.

    The runs are that part of the text, each code point once. An empty label is an empty run.
    """
    over = [label for label in labels if _touches(label.span, within, len(text))]
    return tuple(_runs(text, _edges(within, over), over))


def _touches(span: Span, within: Span, length: int) -> bool:
    if span.start < span.end:
        return span.start < within.end and within.start < span.end
    # A place on a border belongs to what follows it, the end of the text to what it ends.
    return within.start <= span.start < within.end or span.start == within.end == length


def _edges(within: Span, labels: Iterable[Label]) -> list[int]:
    edges = {within.start, within.end}
    for label in labels:
        edges.update((label.span.start, label.span.end))
    return sorted(edge for edge in edges if within.start <= edge <= within.end)


def _runs(text: str, edges: Sequence[int], labels: Sequence[Label]) -> Iterator[Run]:
    yield from _place(edges[0], labels)
    for start, end in pairwise(edges):
        over = tuple(each for each in labels if each.span.start < end and start < each.span.end)
        ending = tuple(label for label in over if label.span.end == end)
        yield Run(text[start:end], over, ending)
        yield from _place(end, labels)


def _place(edge: int, labels: Iterable[Label]) -> Iterator[Run]:
    here = Span(edge, edge)
    if found := tuple(label for label in labels if label.span == here):
        yield Run("", found, found)


def units(
    text: str, within: Span, linked: Iterable[tuple[Span, str]], labels: Sequence[Label]
) -> tuple[Unit, ...]:
    """`within` of a text as linked units and what lies between them, all cut at the labels.

    Args:
        text: any text.
        within: the part to show.
        linked: parts with the id of their link; two are disjoint or equal.
        labels: what lies over the text, in any way.
    """
    ids: dict[Span, list[str]] = {}
    for span, id_ in linked:
        if within.start <= span.start and span.end <= within.end:
            ids.setdefault(span, []).append(id_)
    return tuple(_units(text, within, ids, labels))


def _units(
    text: str, within: Span, ids: dict[Span, list[str]], labels: Sequence[Label]
) -> Iterator[Unit]:
    position = within.start
    for span in sorted(ids):
        if position < span.start:
            yield Unit((), cut(text, Span(position, span.start), labels))
        yield Unit(tuple(ids[span]), cut(text, span, labels))
        position = span.end
    if position < within.end or not ids:
        yield Unit((), cut(text, Span(position, within.end), labels))
