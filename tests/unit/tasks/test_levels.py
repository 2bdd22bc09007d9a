"""Summaries of summaries: what was read, in which order, and where it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from khulasa_server.bundles.manifest import Task
from khulasa_server.guards.findings import Finding, Kind
from khulasa_server.tasks.levels import Levels, Run
from khulasa_server.tasks.reading import read
from khulasa_server.tasks.routing import Route, route_summary
from khulasa_server.tasks.values import Options, Strategy
from khulasa_server.text.spans import Span

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.tasks.conftest import Office

    from khulasa_server.bundles.manifest import Manifest

WINDOW = 16
SENTENCES = [f"ذهب الولد {'ا' * number} إلى البيت." for number in range(1, 21)]
TEXT = "\n\n".join(" ".join(SENTENCES[start : start + 3]) for start in range(0, 20, 3))


@pytest.fixture
def route(make_office: Callable[..., Office], make_manifest: Callable[..., Manifest]) -> Route:
    """A summarizer with a window of 16 tokens."""
    office = make_office(make_manifest(Task.SUMMARIZE, limits={"max_input_tokens": WINDOW}))
    return route_summary(office.desk.catalog, "ar", Options())


def run(text: str, *findings: Finding) -> Run:
    """What the model gave for a passage."""
    return Run(text, -0.5, findings, truncated=False)


def test_lead_reads_the_leading_sentences_that_fit(route: Route) -> None:
    """One passage of whole sentences from the start, as many as the window takes."""
    reading = read(TEXT, route, Strategy.LEAD)
    (passage,) = reading.passages
    assert passage.span.start == 0
    assert len(passage.tokens) <= WINDOW
    assert TEXT[: passage.span.end].endswith(".")
    following = TEXT[passage.span.end :].lstrip().split(".")[0] + "."
    assert route.count(passage.span.of(TEXT) + " " + following) > WINDOW
    assert 0 < reading.coverage < 1
    assert reading.coverage == pytest.approx(passage.span.end / len(TEXT), abs=0.01)


def test_hierarchical_reads_everything_in_windows(route: Route) -> None:
    """Passages tile the text, each within the window."""
    reading = read(TEXT, route, Strategy.HIERARCHICAL)
    assert reading.coverage == 1.0
    reached = 0
    for passage in reading.passages:
        assert not TEXT[reached : passage.span.start].strip()
        assert len(passage.tokens) <= WINDOW
        reached = passage.span.end
    assert not TEXT[reached:].strip()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_text_is_read_within_the_window(office: Office, data: st.DataObject) -> None:
    """Whatever the text, no passage exceeds the window, and HIERARCHICAL leaves nothing out."""
    route = route_summary(office.desk.catalog, "ar", Options())
    text = data.draw(st.text("ابت .\n،", min_size=1, max_size=900).filter(str.strip))
    window = route.manifest.limits.max_input_tokens
    for strategy in Strategy:
        reading = read(text, route, strategy)
        assert all(len(passage.tokens) <= window for passage in reading.passages)
        if strategy is Strategy.HIERARCHICAL:
            assert reading.coverage == 1.0


def test_levels_go_on_until_one_summary_is_left(route: Route) -> None:
    """Each level reads the summaries of the one below; chunks know what they were made of."""
    levels = Levels(TEXT, read(TEXT, route, Strategy.HIERARCHICAL), route)
    first = [task.source for task in levels.waiting]
    assert len(first) > 4
    while levels.waiting:
        levels.done([run(f"خلاصة {number}.") for number, _ in enumerate(levels.waiting)])
    ranks = [chunk.level for chunk in levels.chunks]
    assert ranks == sorted(ranks)
    assert ranks.count(0) == len(first)
    assert ranks.count(ranks[-1]) == 1
    assert levels.chunks[-1].source == Span(first[0].start, first[-1].end)
    assert levels.text == levels.chunks[-1].text == "خلاصة 0."
    below = {rank: [c.source for c in levels.chunks if c.level == rank] for rank in set(ranks)}
    for rank in range(1, ranks[-1] + 1):
        assert len(below[rank]) < len(below[rank - 1])
        assert (below[rank][0].start, below[rank][-1].end) == (first[0].start, first[-1].end)


def test_a_level_that_gets_no_shorter_is_the_last(route: Route) -> None:
    """Summaries as long as their passages end the climb; together they are the summary."""
    levels = Levels(TEXT, read(TEXT, route, Strategy.HIERARCHICAL), route)
    texts = [task.passage for task in levels.waiting]
    levels.done([run(text) for text in texts])
    assert levels.waiting == []
    assert levels.text == "\n".join(texts)


def test_empty_summaries_are_left_out(route: Route) -> None:
    """A passage that the model said nothing about does not hold a level up."""
    levels = Levels(TEXT, read(TEXT, route, Strategy.HIERARCHICAL), route)
    count = len(levels.waiting)
    levels.done([run("خلاصة." if number == 2 else "") for number in range(count)])
    assert levels.waiting == []
    assert levels.text == "خلاصة."
    assert len(levels.chunks) == count


def test_what_a_retry_mended_is_told_at_its_passage(route: Route) -> None:
    """A finding that a second run took away points at the passage, at whatever level."""
    levels = Levels(TEXT, read(TEXT, route, Strategy.HIERARCHICAL), route)
    source = levels.waiting[1].source
    mended = Finding(Kind.REPETITION, Span(0, 3), None, "again and again", resolved=True)
    left = Finding(Kind.NUMBER_UNSUPPORTED, None, Span(0, 1), "7")
    runs = [run("خلاصة.") for _ in levels.waiting]
    runs[1] = run("خلاصة.", mended, left)
    levels.done(runs)
    assert [(each.kind, each.source) for each in levels.mended] == [(Kind.REPETITION, source)]
