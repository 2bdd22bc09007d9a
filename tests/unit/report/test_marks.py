"""Cutting loses nothing and says of every part exactly what lies over it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from khulasa_server.report.marks import Label, cut, units
from khulasa_server.text.spans import Span

TEXT = "\N{GRINNING FACE}عنوان: 12 <b>\r\n"


def spans(length: int) -> st.SearchStrategy[Span]:
    """Any span of a text of this length, empty ones too."""
    places = st.integers(0, length)
    return st.tuples(places, places).map(lambda pair: Span(min(pair), max(pair)))


LABELS = st.lists(spans(len(TEXT)), max_size=6).map(
    lambda found: [Label(span, f"f{i}", "fault") for i, span in enumerate(found)]
)


@given(labels=LABELS, within=spans(len(TEXT)))
def test_runs_are_the_text(labels: list[Label], within: Span) -> None:
    """Whatever overlaps, the runs are the part of the text, each code point once."""
    runs = cut(TEXT, within, labels)
    assert "".join(run.text for run in runs) == within.of(TEXT)


@given(labels=LABELS)
def test_every_label_lies_over_its_own_text(labels: list[Label]) -> None:
    """The runs with a label are together what its span holds, and one of them is its last."""
    runs = cut(TEXT, Span(0, len(TEXT)), labels)
    for label in labels:
        over = [run for run in runs if label in run.labels]
        assert "".join(run.text for run in over) == label.span.of(TEXT)
        assert [run for run in runs if label in run.ending] == over[-1:]
        assert over


def test_overlapping_labels_share_a_run() -> None:
    """Where two findings overlap there is a run with both, and each has its rest alone."""
    first, second = Label(Span(0, 6), "f1"), Label(Span(3, 9), "f2")
    runs = cut("abcdefghi", Span(0, 9), [first, second])
    assert [(run.text, run.labels) for run in runs] == [
        ("abc", (first,)),
        ("def", (first, second)),
        ("ghi", (second,)),
    ]


def test_astral_code_points_count_once() -> None:
    """A span after an emoji marks its own letters, as code points count and not UTF-16 units."""
    runs = cut("😀😀 12", Span(0, 5), [Label(Span(3, 5), "f1", "fact")])
    assert [run.text for run in runs if run.labels] == ["12"]


def test_units_and_what_is_between_them() -> None:
    """Linked parts and gaps are the whole text; two links of one part make one unit."""
    linked = [(Span(1, 3), "e0"), (Span(4, 5), "e1"), (Span(1, 3), "e2")]
    found = units("abcdef", Span(0, 6), linked, [])
    shown = [(each.ids, "".join(run.text for run in each.runs)) for each in found]
    assert shown == [((), "a"), (("e0", "e2"), "bc"), ((), "d"), (("e1",), "e"), ((), "f")]


def test_a_place_on_a_border_is_shown_once() -> None:
    """A finding without extent between two units is shown by the second alone."""
    place = Label(Span(3, 3), "f1", "fact")
    found = units("abcdef", Span(0, 6), [(Span(0, 3), "s0"), (Span(3, 6), "s1")], [place])
    assert [[run.ending for run in unit.runs] for unit in found] == [[()], [(place,), ()]]
