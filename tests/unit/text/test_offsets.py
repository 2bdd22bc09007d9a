"""Which part of a source a part of a rewritten text came from."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from khulasa_server.text.offsets import Edit, Rewriting
from khulasa_server.text.spans import Span


@st.composite
def rewritings(draw: st.DrawFn) -> Rewriting:
    """A text rewritten in up to three steps."""
    rewriting = Rewriting.of(draw(st.text("abc", max_size=12)))
    for _ in range(draw(st.integers(0, 3))):
        places = st.integers(0, len(rewriting.text))
        borders = sorted(draw(st.lists(places, max_size=6).filter(lambda some: len(some) % 2 == 0)))
        edits = [
            Edit(start, end, draw(st.text("xyz", max_size=3)))
            for start, end in zip(borders[::2], borders[1::2], strict=True)
        ]
        rewriting = rewriting.apply(edits)
    return rewriting


@given(rewritings())
def test_runs_tile_source_and_text(rewriting: Rewriting) -> None:
    """However often a text is rewritten, runs in order are all of both texts."""
    source = text = ""
    for run in rewriting.runs():
        part, result = run.source.of(rewriting.source), run.result.of(rewriting.text)
        assert run.rewritten or part == result
        source, text = source + part, text + result
    assert (source, text) == (rewriting.source, rewriting.text)


@given(rewritings())
def test_untouched_letters_are_found_again(rewriting: Rewriting) -> None:
    """A letter no edit touched is at the place that the map says."""
    for run in rewriting.runs():
        for offset in range(0 if run.rewritten else len(run.source)):
            place = Span(run.result.start + offset, run.result.start + offset + 1)
            assert rewriting.to_source(place) == Span(0, 1).shift(run.source.start + offset)


@given(rewritings())
def test_rewritten_letters_stand_for_the_whole_run(rewriting: Rewriting) -> None:
    """Inside a rewritten run nothing finer than the run is claimed."""
    for run in rewriting.runs():
        for at in range(run.result.start, run.result.end if run.rewritten else 0):
            assert rewriting.to_source(Span(at, at + 1)) == run.source


def test_what_was_deleted_at_an_edge_is_left_out() -> None:
    """A span covers deletions inside it, not those beside it."""
    rewriting = Rewriting.of("-a-b-").apply([Edit(0, 1, ""), Edit(2, 3, ""), Edit(4, 5, "")])
    assert rewriting.text == "ab"
    assert rewriting.to_source(Span(0, 2)) == Span(1, 4)
    assert rewriting.to_source(Span(1, 2)) == Span(3, 4)
    assert rewriting.to_source(Span(1, 1)).of(rewriting.source) == ""
