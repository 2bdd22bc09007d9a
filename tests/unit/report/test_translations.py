"""A translation as rows: nothing lost, everything in its row."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from khulasa_server.guards.findings import Finding, Kind
from khulasa_server.report import translations
from khulasa_server.text.spans import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from khulasa_server.report.marks import Unit
    from khulasa_server.tasks.values import Translation

TEXT = "  واحد. اثنان.\n\nثلاثة 3.\n"
PARTS = [("واحد.", "One."), ("اثنان.", "Two."), ("ثلاثة 3.", "Three.")]


def shown(units: Iterable[Unit]) -> str:
    """The text of units."""
    return "".join(run.text for unit in units for run in unit.runs)


def test_rows_hold_both_texts_whole(make_translation: Callable[..., Translation]) -> None:
    """A line beside its translation, with the white space that belongs to it."""
    translation = make_translation(TEXT, PARTS)
    view = translations.view(TEXT, translation)
    assert [shown(row.source) for row in view.rows] == ["  واحد. اثنان.\n\n", "ثلاثة 3.\n"]
    assert [shown(row.target) for row in view.rows] == ["  One. Two.\n\n", "Three.\n"]
    assert [[score.id for score in row.scores] for row in view.rows] == [["s0", "s1"], ["s2"]]
    assert (view.source_direction, view.target_direction) == ("rtl", "ltr")


def test_a_blank_text_is_a_row(make_translation: Callable[..., Translation]) -> None:
    """Where there is no segment, the white space is shown as it came back."""
    view = translations.view(" \n ", make_translation(" \n ", []))
    assert [shown(row.source) for row in view.rows] == [" \n "]
    assert view.mean_score is None


def test_findings_stand_in_their_row(make_translation: Callable[..., Translation]) -> None:
    """By their place in the source, or in the output; others are told apart, each once."""
    findings = (
        Finding(Kind.NUMBER_MISSING, Span(22, 23), None, "3"),
        Finding(Kind.REPETITION, None, Span(2, 6), "One"),
        Finding(Kind.LANGUAGE_DOUBTFUL, None, None, "whole"),
        Finding(Kind.TRUNCATED, None, None, "cut", resolved=True),
    )
    view = translations.view(TEXT, make_translation(TEXT, PARTS, *findings))
    kinds = [[note.kind for note in row.notes] for row in view.rows]
    assert kinds == [["REPETITION"], ["NUMBER_MISSING"]]
    assert [note.kind for note in view.unplaced] == ["LANGUAGE_DOUBTFUL"]
    assert [note.kind for note in view.mended] == ["TRUNCATED"]
    marked = [run for row in view.rows for unit in row.source for run in unit.runs if run.labels]
    assert [run.text for run in marked] == ["3"]


def test_scores_are_probabilities(make_translation: Callable[..., Translation]) -> None:
    """A mean log-probability is shown as the percentage it stands for; a copy has none."""
    half = translations.view(TEXT, make_translation(TEXT, PARTS, score=math.log(0.5)))
    assert [score.percent for row in half.rows for score in row.scores] == [50, 50, 50]
    assert half.percent == 50
    copied = translations.view("3.", make_translation("3.", [("3.", "3.")]))
    assert [score.mean for row in copied.rows for score in row.scores] == [None]
