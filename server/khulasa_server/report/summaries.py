"""A summary beside its text: evidence, what was read, and notes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from khulasa_server.guards.thresholds import THRESHOLDS
from khulasa_server.report import translations
from khulasa_server.report.directions import direction
from khulasa_server.report.marks import Label, Unit, units
from khulasa_server.report.notes import Note, labels, numbered, source_of, target_of
from khulasa_server.text.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from khulasa_server.guards.evidence import Evidence
    from khulasa_server.report.translations import TranslationView
    from khulasa_server.tasks.values import Summary

WEAK_SUPPORT = THRESHOLDS.support
"""Below it a sentence is told as unsupported."""


@dataclass(frozen=True, slots=True)
class Support:
    """How much of a summary sentence stands in the source sentence it is linked with, 0 to 1."""

    id: str
    support: float
    found: bool
    """False: no source sentence shares a word with it."""


@dataclass(frozen=True, slots=True)
class Part:
    """A chunk that was summarized; level 0 was read directly, others from summaries."""

    id: str
    level: int
    code_points: int
    text: str


@dataclass(frozen=True, slots=True)
class SummaryView:
    """What the page shows of a summary; the units together hold both texts whole."""

    summary: Summary
    source: tuple[Unit, ...]
    target: tuple[Unit, ...]
    supports: tuple[Support, ...]
    parts: tuple[Part, ...]
    notes: tuple[Note, ...]
    source_direction: str
    target_direction: str
    translation: TranslationView | None
    percent: int
    """Geometric mean of the tokens' probabilities; 0: of several passages, or not written."""


def view(text: str, summary: Summary) -> SummaryView:
    """A summary of `text`."""
    notes = numbered(summary.findings)
    evidence = [(f"e{i}", each) for i, each in enumerate(summary.evidence)]
    chunks = [Label(chunk.source, f"c{i}") for i, chunk in enumerate(summary.chunks)]
    onward = summary.translation
    return SummaryView(
        summary=summary,
        source=units(
            text, _whole(text), list(_sources(evidence)), (*labels(notes, source_of), *chunks)
        ),
        target=units(
            summary.text,
            _whole(summary.text),
            [(each.summary, id_) for id_, each in evidence],
            labels(notes, target_of),
        ),
        supports=tuple(
            Support(id_, each.support, each.source is not None) for id_, each in evidence
        ),
        parts=tuple(
            Part(label.id, chunk.level, len(chunk.source), chunk.text)
            for label, chunk in zip(chunks, summary.chunks, strict=True)
        ),
        notes=notes,
        source_direction=direction(text),
        target_direction=direction(summary.text),
        translation=translations.view(summary.text, onward) if onward else None,
        percent=translations.Score("", summary.score).percent,
    )


def _whole(text: str) -> Span:
    return Span(0, len(text))


def _sources(evidence: Sequence[tuple[str, Evidence]]) -> Iterator[tuple[Span, str]]:
    for id_, each in evidence:
        if each.source is not None:
            yield each.source, id_
