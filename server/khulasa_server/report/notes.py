"""Findings as a reader meets them: numbered, in words, in a tone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from khulasa_server.guards.findings import Kind
from khulasa_server.report.marks import Label

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from khulasa_server.guards.findings import Finding
    from khulasa_server.text.spans import Span

FAULT, LENGTH, FACT, NOTE, UNREAD = "fault", "length", "fact", "note", "unread"
"""The output degenerated; a segment is too long or short; a fact may be wrong; good to know; was
not read."""
MENDED = "mended"
"""A retry removed it: it is told, and has no place any more."""

_FACTS: Final = {
    Kind.NUMBER_MISSING,
    Kind.NUMBER_UNSUPPORTED,
    Kind.NAME_UNSUPPORTED,
    Kind.ENTITY_MISSING,
    Kind.SUMMARY_UNSUPPORTED,
}
_NOTES: Final = {Kind.LANGUAGE_DOUBTFUL, Kind.ALREADY_SHORT}


@dataclass(frozen=True, slots=True)
class Note:
    """A finding beside the text; `number` is unique in its answer, `tone` says how it is drawn."""

    number: int
    finding: Finding
    tone: str

    @property
    def id(self) -> str:
        """What marks in the texts call it."""
        return f"f{self.number}"

    @property
    def kind(self) -> str:
        """As in every answer of the service."""
        return self.finding.kind.value


def numbered(findings: Iterable[Finding]) -> tuple[Note, ...]:
    """One note a finding, in order, from 1."""
    return tuple(Note(n, finding, _tone(finding)) for n, finding in enumerate(findings, start=1))


def labels(notes: Sequence[Note], side: Callable[[Finding], Span | None]) -> tuple[Label, ...]:
    """Where the notes are in one of the two texts."""
    placed = ((note, side(note.finding)) for note in notes if note.tone != MENDED)
    return tuple(Label(span, note.id, note.tone) for note, span in placed if span is not None)


def source_of(finding: Finding) -> Span | None:
    """Its place in the source."""
    return finding.source


def target_of(finding: Finding) -> Span | None:
    """Its place in the output."""
    return finding.target


def _tone(finding: Finding) -> str:
    if finding.resolved:
        return MENDED
    if finding.kind is Kind.PARTIAL_COVERAGE:
        return UNREAD
    if finding.kind is Kind.LENGTH_RATIO:
        return LENGTH
    if finding.kind in _FACTS:
        return FACT
    return NOTE if finding.kind in _NOTES else FAULT
