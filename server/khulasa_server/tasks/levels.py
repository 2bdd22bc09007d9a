"""Summaries of summaries: runs level by level, each traced back to the text."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from khulasa_server.tasks.reading import Passage, Reading, read
from khulasa_server.tasks.values import Chunk, Strategy
from khulasa_server.text.spans import Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from khulasa_server.guards.findings import Finding
    from khulasa_server.tasks.routing import Route

SEPARATOR = "\n"
"""Between the summaries that a run reads: they are sentences of their own."""


@dataclass(frozen=True, slots=True)
class Task:
    """A passage that waits for its run."""

    passage: str
    tokens: tuple[str, ...]
    source: Span
    """Where it, or all it was made of, is in the text."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of the model gave; findings' spans are in its passage and its output."""

    text: str
    score: float
    findings: tuple[Finding, ...]
    truncated: bool


class Levels:
    """Keeps what was run and says what is next, until one summary is left.

    Args:
        text: the text to summarize.
        reading: what is read of it.
        route: the model.
    """

    def __init__(self, text: str, reading: Reading, route: Route) -> None:
        self._route = route
        self.chunks: list[Chunk] = []
        self.last: list[Run] = []
        self.mended: list[Finding] = []
        """What retries took away, located by the passage that was read."""
        self.waiting = [
            Task(passage.span.of(text), passage.tokens, passage.span)
            for passage in reading.passages
        ]

    @property
    def text(self) -> str:
        """The summary: of the last run, or of all of the last level where no run could join it."""
        return SEPARATOR.join(run.text for run in self.last if run.text)

    def done(self, runs: Sequence[Run]) -> None:
        """Take the runs of all that waited, in order, and plan the next level."""
        level = self.chunks[-1].level + 1 if self.chunks else 0
        finished = [
            Chunk(task.source, level, run.text)
            for task, run in zip(self.waiting, runs, strict=True)
        ]
        self.chunks.extend(finished)
        self.last = list(runs)
        for task, run in zip(self.waiting, runs, strict=True):
            self.mended += [replace(f, source=task.source) for f in run.findings if f.resolved]
        joined = self._join([chunk for chunk in finished if chunk.text])
        # A level that is no shorter than the one below would go on for ever.
        self.waiting = joined if 0 < len(joined) < len(finished) else []

    def _join(self, below: Sequence[Chunk]) -> list[Task]:
        if len(below) < 2:  # noqa: PLR2004 - one is a summary already
            return []
        text, places = _joined([chunk.text for chunk in below])
        passages = read(text, self._route, Strategy.HIERARCHICAL).passages
        return [
            Task(passage.span.of(text), passage.tokens, _source(passage, places, below))
            for passage in passages
        ]


def _joined(texts: Sequence[str]) -> tuple[str, list[Span]]:
    """The texts as one, and where each is in it."""
    places, start = [], 0
    for text in texts:
        places.append(Span(start, start + len(text)))
        start += len(text) + len(SEPARATOR)
    return SEPARATOR.join(texts), places


def _source(passage: Passage, places: Sequence[Span], below: Sequence[Chunk]) -> Span:
    """From the first to the last of the chunks whose summaries a passage holds."""
    span = passage.span
    inside = [
        chunk.source
        for place, chunk in zip(places, below, strict=True)
        if place.start < span.end and span.start < place.end
    ]
    return Span(inside[0].start, inside[-1].end)
