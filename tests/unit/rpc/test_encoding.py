"""Everything that a task answers has its place on the wire."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khulasa.v1 import common_pb2, summarization_pb2, translation_pb2
from khulasa_server.guards.evidence import Evidence
from khulasa_server.guards.findings import Finding, Kind
from khulasa_server.rpc.encoding import (
    encode_duration,
    encode_end,
    encode_event,
    encode_summary,
    encode_translation,
    encode_usage,
)
from khulasa_server.tasks.values import (
    Chunk,
    ModelRef,
    Outcome,
    Segment,
    Strategy,
    StreamedSegment,
    StreamEnd,
    Summary,
    Translation,
    Usage,
)
from khulasa_server.text.spans import Span

MODEL: Final = ModelRef("m", "sha256:00")
USAGE: Final = Usage(
    code_points=1,
    input_tokens=2,
    output_tokens=3,
    segments=4,
    cache_hits=5,
    retries=6,
    queue=0.5,
    tokenization=0.25,
    total=2.0,
    batches={1: 0.125, 2: 0.5},
)


def translation(*segments: Segment, findings: tuple[Finding, ...] = ()) -> Translation:
    """A translated text."""
    return Translation("text", segments, findings, MODEL, USAGE, "ar", "en")


def summary(strategy: Strategy = Strategy.LEAD, score: float | None = None) -> Summary:
    """A summarized text."""
    return Summary(
        text="gist",
        translation=translation(),
        coverage=0.75,
        strategy=strategy,
        chunks=(Chunk(Span(0, 9), 0, "part"), Chunk(Span(0, 9), 1, "gist")),
        evidence=(Evidence(Span(0, 4), None, 0.0), Evidence(Span(0, 4), Span(5, 9), 0.5)),
        findings=(),
        score=score,
        model=MODEL,
        usage=USAGE,
        language_code="ar",
    )


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_its_number(outcome: Outcome) -> None:
    """An outcome that is added here and not in the contract is a failed test."""
    segment = Segment(Span(0, 1), Span(2, 3), None, outcome)
    encoded = encode_translation(translation(segment)).segments[0]
    name = translation_pb2.SegmentOutcome.Name(encoded.outcome)
    assert name == f"SEGMENT_OUTCOME_{outcome.name}"
    assert (encoded.source.start, encoded.source.end) == (0, 1)
    assert (encoded.target.start, encoded.target.end) == (2, 3)


@pytest.mark.parametrize("kind", Kind)
def test_every_finding_has_its_number(kind: Kind) -> None:
    """A kind that a guard may report is in the contract."""
    finding = Finding(kind, Span(1, 2), None, "x" * 2_000, resolved=True)
    encoded = encode_translation(translation(findings=(finding,))).findings[0]
    assert common_pb2.FindingKind.Name(encoded.kind) == f"FINDING_KIND_{kind.name}"
    assert encoded.resolved
    assert len(encoded.detail) == 1_000
    assert encoded.HasField("source")
    assert not encoded.HasField("target")


@pytest.mark.parametrize("strategy", Strategy)
def test_every_strategy_has_its_number(strategy: Strategy) -> None:
    """The one that was taken is told."""
    encoded = encode_summary(summary(strategy)).strategy
    name = summarization_pb2.LongDocumentStrategy.Name(encoded)
    assert name == f"LONG_DOCUMENT_STRATEGY_{strategy.name}"


@pytest.mark.parametrize("score", [None, 0.0, -0.5])
def test_a_score_of_zero_is_not_a_missing_one(score: float | None) -> None:
    """Unset only where no model ran."""
    segment = Segment(Span(0, 1), Span(0, 1), score, Outcome.TRANSLATED)
    encoded = encode_translation(translation(segment)).segments[0]
    gist = encode_summary(summary(score=score))
    for each in (encoded, gist):
        assert each.HasField("score") == (score is not None)
        assert each.score == (score or 0.0)


def test_usage_is_told_whole() -> None:
    """Every count, and durations; inference is the sum over batches."""
    encoded = encode_usage(USAGE)
    counts = ("code_points", "input_tokens", "output_tokens", "segments", "cache_hits", "retries")
    assert [getattr(encoded, name) for name in counts] == [1, 2, 3, 4, 5, 6]
    durations = ("queue", "tokenization", "inference", "total")
    told = [getattr(encoded, f"{name}_duration").ToTimedelta() for name in durations]
    assert [each.total_seconds() for each in told] == [0.5, 0.25, 0.625, 2.0]
    fields = {field.name for field in common_pb2.Usage.DESCRIPTOR.fields}
    assert fields == {*counts, *(f"{name}_duration" for name in durations)}


def test_a_summary_is_told_whole() -> None:
    """Chunks, evidence with and without a source, and the translation."""
    encoded = encode_summary(summary())
    assert [(chunk.level, chunk.text) for chunk in encoded.chunks] == [(0, "part"), (1, "gist")]
    assert [each.HasField("source") for each in encoded.evidence] == [False, True]
    assert encoded.evidence[1].support == 0.5
    assert encoded.translation.text == "text"
    assert (encoded.coverage, encoded.language_code) == (0.75, "ar")
    assert encoded.model == common_pb2.ModelRef(name="m", digest="sha256:00")


def test_events_of_a_stream_are_told_apart() -> None:
    """A segment with its text, and the end with everything else."""
    segment = Segment(Span(0, 1), Span(0, 4), -0.5, Outcome.TRANSLATED)
    event = encode_event(StreamedSegment(segment, "text "))
    assert (event.WhichOneof("event"), event.segment.text) == ("segment", "text ")
    end = encode_end(StreamEnd(translation()))
    assert end.WhichOneof("event") == "summary"
    assert (end.summary.source_language_code, end.summary.target_language_code) == ("ar", "en")
    assert end.summary.usage == encode_usage(USAGE)


@given(seconds=st.floats(0, 1e6))
def test_durations_keep_a_nanosecond(seconds: float) -> None:
    """Seconds and nanoseconds together are what was measured."""
    encoded = encode_duration(seconds)
    assert encoded.seconds + encoded.nanos / 1e9 == pytest.approx(seconds, abs=1e-9)
    assert 0 <= encoded.nanos < 1_000_000_000
