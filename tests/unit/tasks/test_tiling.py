"""Whatever is sent, the answer's spans account for all of it and of the output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import example, given, settings
from hypothesis import strategies as st

from khulasa_server.tasks.values import Outcome, StreamedSegment, StreamEnd
from khulasa_server.text.scripts import is_translatable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.unit.tasks.conftest import Office

    from khulasa_server.tasks.values import Segment, Translation
    from khulasa_server.text.spans import Span

# What protobuf can carry: no surrogates; U+0000 is refused before a task sees it.
ANY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=200)
ARABIC = st.text(
    st.sampled_from("ابجدهوز ءـًّ\n.،؛؟!«»:-1٢ \u200f\u200d\t\u2028aZ😀@/"), min_size=1, max_size=400
)
TEXTS = ANY | ARABIC


def assert_tiling(text: str, spans: Sequence[Span]) -> None:
    """Nothing but whitespace is before, between and after the spans."""
    reached = 0
    for span in spans:
        assert reached <= span.start <= span.end <= len(text)
        assert not text[reached : span.start].strip()
        reached = span.end
    assert not text[reached:].strip()


def assert_sound(text: str, translation: Translation) -> None:
    """Spans tile both sides, outcomes and scores agree, copies are copies."""
    assert_tiling(text, [segment.source for segment in translation.segments])
    assert_tiling(translation.text, [segment.target for segment in translation.segments])
    for segment in translation.segments:
        assert_segment(text, translation.text, segment)
    for finding in translation.findings:
        for span, whole in ((finding.source, text), (finding.target, translation.text)):
            assert span is None or 0 <= span.start <= span.end <= len(whole)
    usage = translation.usage
    assert usage.code_points == len(text)
    assert usage.segments == len(translation.segments)


def assert_segment(text: str, output: str, segment: Segment) -> None:
    """A segment says truly what became of it."""
    if segment.outcome is Outcome.COPIED:
        assert segment.target.of(output) == segment.source.of(text)
        assert segment.score is None
    else:
        assert is_translatable(segment.source.of(text), "ar")
        assert segment.score is not None
        assert segment.score <= 0


@settings(max_examples=300, deadline=None)
@given(text=TEXTS)
@example("")
@example(" \n ")
@example("\u200f")
@example("كتاب\u200fكتاب  كتاب\r\n\r\nكتاب.")
@example("ا" * 900)
def test_spans_of_any_text_tile_it(office: Office, text: str) -> None:
    """For any Unicode text source spans tile the source, target spans the translation."""
    (translation,), usage = office.translate(text)
    assert_sound(text, translation)
    assert usage.code_points == len(text)


@settings(max_examples=100, deadline=None)
@given(text=ARABIC)
def test_spans_tile_whatever_the_model_does(unruly: Office, text: str) -> None:
    """Empty, looping and cut outputs are accounted for like good ones."""
    (translation,), _ = unruly.translate(text)
    assert_sound(text, translation)


@settings(max_examples=150, deadline=None)
@given(text=TEXTS)
@example(" \n ")
@example(" كتاب. كتاب ")
def test_streamed_texts_are_the_unary_translation(office: Office, text: str) -> None:
    """Concatenated, the texts of a stream are what the unary call answers, with equal segments."""
    (translation,), _ = office.translate(text)
    *parts, end = office.stream(text)
    assert isinstance(end, StreamEnd)
    segments = []
    for part in parts:
        assert isinstance(part, StreamedSegment)
        segments.append(part.segment)
    texts = [part.text for part in parts if isinstance(part, StreamedSegment)]
    assert "".join(texts) == translation.text == end.whole.text
    assert tuple(segments) == translation.segments == end.whole.segments
    assert end.whole.findings == translation.findings


@settings(max_examples=50, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=6))
def test_contents_are_answered_in_their_order(office: Office, texts: list[str]) -> None:
    """Each content's answer is the one it gets alone; counts of usage add up."""
    translations, usage = office.translate(*texts)
    for text, translation in zip(texts, translations, strict=True):
        (alone,), _ = office.translate(text)
        assert translation.text == alone.text
        assert translation.segments == alone.segments
    for count in ("code_points", "segments", "input_tokens", "output_tokens", "retries"):
        assert getattr(usage, count) == sum(getattr(t.usage, count) for t in translations)


@settings(max_examples=100, deadline=None)
@given(text=ARABIC)
def test_whitespace_survives(office: Office, text: str) -> None:
    """The whitespace around and between segments is in the translation as it was."""
    (translation,), _ = office.translate(text)
    first, last = translation.segments[0], translation.segments[-1]
    assert translation.text[: first.target.start] == text[: first.source.start]
    assert translation.text[last.target.end :] == text[last.source.end :]
    for one, other in zip(translation.segments, translation.segments[1:], strict=False):
        gap = text[one.source.end : other.source.start]
        kept = translation.text[one.target.end : other.target.start]
        assert kept == gap or (gap == "" and kept == " ")
