"""A translation while its segments come in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from khulasa_server.guards.language import doubt_language
from khulasa_server.tasks.values import Segment, StreamedSegment, Translation, Usage
from khulasa_server.text.assembly import Joiner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from khulasa_server.guards.findings import Finding
    from khulasa_server.tasks.planning import Planned
    from khulasa_server.tasks.routing import Route
    from khulasa_server.tasks.segments import Done


class Draft:
    """One text's answer so far; segments are added in the order of the text.

    Args:
        text: the source.
        planned: its segments.
        route: what translates it.
        tokenization: seconds that planning took.
    """

    def __init__(
        self, text: str, planned: Sequence[Planned], route: Route, tokenization: float
    ) -> None:
        self.text = text
        self.planned = planned
        self._route = route
        self._joiner = Joiner(text, [piece.span for piece in planned])
        self._texts: list[str] = []
        self._segments: list[Segment] = []
        self._findings: list[Finding] = doubt_language(text, route.source)
        self._usage = Usage(code_points=len(text), segments=len(planned), tokenization=tokenization)

    def add(self, done: Done) -> StreamedSegment:
        """Take the next segment; its spans move to their place in the whole."""
        source = self.planned[len(self._segments)].span
        piece = self._joiner.add(done.text)
        segment = Segment(source, piece.target, done.score, done.outcome)
        self._segments.append(segment)
        self._texts.append(piece.text)
        start = piece.target.start
        placed = (finding.shift(source.start, start) for finding in done.findings)
        self._findings.extend(sorted(placed, key=_place))
        self._usage.add(done.usage)
        return StreamedSegment(segment, self._as_streamed(piece.text))

    def _as_streamed(self, text: str) -> str:
        """The latest piece with the gap after it; the one before it is out already."""
        latest = len(self._segments) - 1
        return text[len(self._gap(latest)) :] + self._gap(latest + 1)

    def _gap(self, i: int) -> str:
        """Whitespace of the source between segment `i` and the one before it."""
        if not 0 < i < len(self.planned):
            return ""
        return self.text[self.planned[i - 1].span.end : self.planned[i].span.start]

    def finish(self, total: float) -> Translation:
        """The whole, which took `total` seconds."""
        self._usage.total = total
        return Translation(
            text="".join(self._texts),
            segments=tuple(self._segments),
            findings=tuple(self._findings),
            model=self._route.ref,
            usage=self._usage,
            source_language_code=self._route.source,
            target_language_code=self._route.target,
        )


def _place(finding: Finding) -> int:
    """Where in its segment a finding is: in the source, or, without a place there, the output."""
    span = finding.source or finding.target
    return span.start if span else 0
