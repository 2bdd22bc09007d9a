"""A translation as rows: a paragraph beside its translation, with scores and notes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from khulasa_server.report.directions import direction
from khulasa_server.report.marks import Unit, units
from khulasa_server.report.notes import MENDED, Note, labels, numbered, source_of, target_of
from khulasa_server.tasks.values import Outcome
from khulasa_server.text.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from khulasa_server.tasks.values import Segment, Translation


@dataclass(frozen=True, slots=True)
class Score:
    """How sure the model was of a segment.

    Args:
        id: of the segment.
        mean: mean log-probability of its tokens; None: it was copied.
    """

    id: str
    mean: float | None

    @property
    def percent(self) -> int:
        """Geometric mean of the tokens' probabilities, in percent; 0 for a copied segment."""
        return 0 if self.mean is None else round(100 * math.exp(self.mean))


@dataclass(frozen=True, slots=True)
class Row:
    """One or more whole lines of the source with their translation."""

    source: tuple[Unit, ...]
    target: tuple[Unit, ...]
    scores: tuple[Score, ...]
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class TranslationView:
    """What the page shows of a translation; the rows together hold both texts whole."""

    translation: Translation
    rows: tuple[Row, ...]
    notes: tuple[Note, ...]
    """All of them, those of the rows too."""
    unplaced: tuple[Note, ...]
    """Those on the text as a whole."""
    mended: tuple[Note, ...]
    """Those that a retry removed."""
    source_direction: str
    target_direction: str
    mean_score: float | None

    @property
    def percent(self) -> int:
        """As of a segment, over all that were translated."""
        return Score("", self.mean_score).percent


def view(text: str, translation: Translation) -> TranslationView:
    """Rows of a translation of `text`."""
    notes = numbered(translation.findings)
    left = [note for note in notes if note.tone != MENDED]
    scores = [each.score for each in translation.segments if each.score is not None]
    return TranslationView(
        translation,
        tuple(_rows(text, translation, left)),
        notes,
        tuple(note for note in left if _is_nowhere(note)),
        tuple(note for note in notes if note.tone == MENDED),
        direction(text),
        direction(translation.text),
        math.fsum(scores) / len(scores) if scores else None,
    )


def _rows(text: str, translation: Translation, notes: Sequence[Note]) -> Iterator[Row]:
    over = labels(notes, source_of), labels(notes, target_of)
    blocks = list(_blocks(text, translation.segments))
    source = _borders([block[0].source.start for block in blocks], len(text))
    target = _borders([block[0].target.start for block in blocks], len(translation.text))
    first = 0
    for block, left, right in zip(blocks or [()], source, target, strict=True):
        linked = [(segment, f"s{first + i}") for i, segment in enumerate(block)]
        yield Row(
            source=units(text, left, [(s.source, id_) for s, id_ in linked], over[0]),
            target=units(translation.text, right, [(s.target, id_) for s, id_ in linked], over[1]),
            scores=tuple(Score(id_, _score(segment)) for segment, id_ in linked),
            notes=tuple(note for note in notes if _is_in(note, left, right)),
        )
        first += len(block)


def _score(segment: Segment) -> float | None:
    return None if segment.outcome is Outcome.COPIED else segment.score


def _blocks(text: str, segments: Sequence[Segment]) -> Iterator[tuple[Segment, ...]]:
    """Segments that stand on the same lines of the source."""
    block: list[Segment] = []
    for segment in segments:
        if block and "\n" in text[block[-1].source.end : segment.source.start]:
            yield tuple(block)
            block = []
        block.append(segment)
    if block:
        yield tuple(block)


def _borders(starts: Sequence[int], length: int) -> list[Span]:
    """What each block spans together with the gap after it; the first has the one before it too."""
    return [Span(start, end) for start, end in pairwise([0, *starts[1:], length])]


def _is_nowhere(note: Note) -> bool:
    return note.finding.source is None and note.finding.target is None


def _is_in(note: Note, source: Span, target: Span) -> bool:
    finding = note.finding
    if finding.source is not None:
        return _holds(source, finding.source.start)
    return finding.target is not None and _holds(target, finding.target.start)


def _holds(row: Span, place: int) -> bool:
    return row.start <= place < row.end or row.start == place == row.end
