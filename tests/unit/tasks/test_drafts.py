"""A translation while its segments come in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from khulasa_server.guards.findings import Finding, Kind
from khulasa_server.tasks.drafts import Draft
from khulasa_server.tasks.planning import Planned
from khulasa_server.tasks.routing import route_translation
from khulasa_server.tasks.segments import Done
from khulasa_server.tasks.values import Options, Outcome, Usage
from khulasa_server.text.spans import Span

if TYPE_CHECKING:
    from tests.unit.tasks.conftest import Office

TEXT = "\n  واحد.  اثنان.\n\nثلاثة \n"
SPANS = (Span(3, 8), Span(10, 16), Span(18, 23))


def draft(office: Office) -> Draft:
    """Of three segments."""
    route = route_translation(office.desk.catalog, "ar", "en", Options())
    return Draft(TEXT, [Planned(span, ("x",)) for span in SPANS], route, 0.25)


def done(text: str, *findings: Finding, usage: Usage | None = None) -> Done:
    """A segment's output."""
    return Done(text, Outcome.TRANSLATED, -0.5, findings, usage or Usage())


def test_streamed_texts_bring_the_whitespace_after_them(office: Office) -> None:
    """Only the first has whitespace before it; together they are the whole."""
    assert [TEXT[span.start : span.end] for span in SPANS] == ["واحد.", "اثنان.", "ثلاثة"]
    started = draft(office)
    streamed = [started.add(done(text)).text for text in ("One.", "Two.", "Three")]
    assert streamed == ["\n  One.  ", "Two.\n\n", "Three \n"]
    assert started.finish(1.0).text == "\n  One.  Two.\n\nThree \n"


def test_an_empty_output_keeps_its_whitespace(office: Office) -> None:
    """A segment without output has an empty span, and its neighbours stay apart."""
    started = draft(office)
    streamed = [started.add(done(text)) for text in ("One.", "", "Three")]
    assert [each.text for each in streamed] == ["\n  One.  ", "\n\n", "Three \n"]
    assert streamed[1].segment.target == Span(9, 9)


def test_spans_of_findings_move_to_their_place(office: Office) -> None:
    """What was found in a segment is told in the whole text, ordered by place."""
    started = draft(office)
    started.add(done("One."))
    late = Finding(Kind.NUMBER_MISSING, Span(4, 5), None, "late")
    early = Finding(Kind.REPETITION, Span(0, 2), Span(1, 3), "early")
    started.add(done("Two.", late, early))
    started.add(done("Three", Finding(Kind.SENTINEL, None, Span(0, 1), "last")))
    found = started.finish(1.0).findings
    assert [finding.detail for finding in found] == ["early", "late", "last"]
    assert (found[0].source, found[0].target) == (Span(10, 12), Span(10, 12))
    assert (found[1].source, found[1].target) == (Span(14, 15), None)
    assert (found[2].source, found[2].target) == (None, Span(15, 16))


def test_the_usage_is_that_of_all_segments(office: Office) -> None:
    """Counts add up, the text's own numbers are its own, and the total is the whole's."""
    started = draft(office)
    for _ in SPANS:
        each = Usage(input_tokens=3, output_tokens=2, retries=1, cache_hits=1)
        started.add(done("x", usage=each))
    whole = started.finish(1.5)
    usage = whole.usage
    assert (usage.code_points, usage.segments) == (len(TEXT), 3)
    assert (usage.input_tokens, usage.output_tokens) == (9, 6)
    assert (usage.retries, usage.cache_hits) == (3, 3)
    assert (usage.tokenization, usage.total) == (0.25, 1.5)
    assert (whole.source_language_code, whole.target_language_code) == ("ar", "en")
    assert whole.model.name == "demo-marian-ar-en"
    assert whole.model.digest.startswith("sha256:")
