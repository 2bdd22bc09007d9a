"""Which part of a source text a part of a rewritten text came from."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from khulasa_server.text.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


class Edit(NamedTuple):
    """A replacement of one stretch of a text."""

    start: int
    end: int
    replacement: str


class Run(NamedTuple):
    """Two stretches that belong together: equal, or one rewritten as the other."""

    source: Span
    result: Span
    rewritten: bool


class _Change(NamedTuple):
    """A rewritten stretch; everything between two changes is the same in both texts."""

    source_start: int
    source_end: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Rewriting:
    """A text, and the text it came from by edits, aligned run by run.

    Inside a rewritten run nothing finer is known: reordered marks have no order to keep.

    Args:
        source: the text before.
        text: the text after.
        changes: ascending, never touching.
    """

    source: str
    text: str
    changes: tuple[_Change, ...] = ()

    @classmethod
    def of(cls, text: str) -> Rewriting:
        """A text not yet rewritten."""
        return cls(text, text)

    def apply(self, edits: Sequence[Edit]) -> Rewriting:
        """The text with `edits` made too.

        Args:
            edits: in code points of `text`; ascending, not overlapping.
        """
        if not edits:
            return self
        return Rewriting(self.source, _edited(self.text, edits), tuple(self._composed(edits)))

    def runs(self) -> Iterator[Run]:
        """All runs in order: they tile the source as well as the text."""
        source_end = end = 0
        last = _Change(len(self.source), len(self.source), len(self.text), len(self.text))
        for change in (*self.changes, last):
            if change.start > end:
                yield Run(
                    Span(source_end, change.source_start), Span(end, change.start), rewritten=False
                )
            source_end, end = change.source_end, change.end
            if change is not last:
                source = Span(change.source_start, source_end)
                yield Run(source, Span(change.start, end), rewritten=True)

    def to_source(self, span: Span) -> Span:
        """The least part of the source that became `span` of the text.

        A rewritten run is taken whole or not at all; what was deleted at an edge is left out.
        Monotone in both ends.
        """
        end = self._source_of_end(span.end)
        return Span(min(self._source_of_start(span.start), end), end)

    def _source_of_start(self, at: int) -> int:
        """Source offset of what stands at `at`."""
        index = bisect_right(self.changes, at, key=lambda change: change.start) - 1
        if index < 0:
            return at
        change = self.changes[index]
        return change.source_start if at < change.end else at - change.end + change.source_end

    def _source_of_end(self, at: int) -> int:
        """Source offset after what stands before `at`."""
        index = bisect_left(self.changes, at, key=lambda change: change.start) - 1
        if index < 0:
            return at
        change = self.changes[index]
        return max(change.source_end, at - change.end + change.source_end)

    def _composed(self, edits: Sequence[Edit]) -> Iterator[_Change]:
        """The changes of both steps, with those that touch made one."""
        shift = source_shift = 0
        for group in _grouped(self.changes, edits):
            start, end = group.start, group.end
            after = source_shift + group.source_growth
            new_end = end + shift + group.growth
            yield _Change(start + source_shift, end + after, start + shift, new_end)
            shift, source_shift = shift + group.growth, after


class _Group(NamedTuple):
    """Changes and edits that touch, in code points of the text between the two steps.

    `source_growth` and `growth` are how much longer the stretch is before and after.
    """

    start: int
    end: int
    source_growth: int
    growth: int


def _grouped(changes: Iterable[_Change], edits: Iterable[Edit]) -> Iterator[_Group]:
    single = [
        _Group(c.start, c.end, (c.source_end - c.source_start) - (c.end - c.start), 0)
        for c in changes
    ]
    single += [_Group(e.start, e.end, 0, len(e.replacement) - (e.end - e.start)) for e in edits]
    single.sort()
    group = single[0]
    for one in single[1:]:
        if one.start > group.end:
            yield group
            group = one
        else:
            group = _Group(
                group.start,
                max(group.end, one.end),
                group.source_growth + one.source_growth,
                group.growth + one.growth,
            )
    yield group


def _edited(text: str, edits: Iterable[Edit]) -> str:
    parts: list[str] = []
    reached = 0
    for edit in edits:
        parts += (text[reached : edit.start], edit.replacement)
        reached = edit.end
    return "".join([*parts, text[reached:]])
