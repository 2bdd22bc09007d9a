"""From answers to messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.protobuf.duration_pb2 import Duration

from khulasa.v1 import common_pb2, summarization_pb2, translation_pb2
from khulasa_server.tasks.values import Outcome, Strategy

if TYPE_CHECKING:
    from khulasa_server.guards.evidence import Evidence
    from khulasa_server.guards.findings import Finding
    from khulasa_server.tasks.values import (
        Chunk,
        ModelRef,
        Segment,
        StreamedSegment,
        StreamEnd,
        Summary,
        Translation,
        Usage,
    )
    from khulasa_server.text.spans import Span

MAX_DETAIL_CODE_POINTS: Final = 1_000

_OUTCOMES: Final = {
    Outcome.TRANSLATED: translation_pb2.SEGMENT_OUTCOME_TRANSLATED,
    Outcome.COPIED: translation_pb2.SEGMENT_OUTCOME_COPIED,
    Outcome.TRUNCATED: translation_pb2.SEGMENT_OUTCOME_TRUNCATED,
}
_STRATEGIES: Final = {
    Strategy.LEAD: summarization_pb2.LONG_DOCUMENT_STRATEGY_LEAD,
    Strategy.HIERARCHICAL: summarization_pb2.LONG_DOCUMENT_STRATEGY_HIERARCHICAL,
}


def encode_duration(seconds: float) -> Duration:
    """Seconds, at least 0, as a protobuf duration, to the nanosecond."""
    whole, nanos = divmod(round(seconds * 1e9), 1_000_000_000)
    return Duration(seconds=whole, nanos=nanos)


def encode_usage(usage: Usage) -> common_pb2.Usage:
    """What an answer took."""
    return common_pb2.Usage(
        code_points=usage.code_points,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        segments=usage.segments,
        cache_hits=usage.cache_hits,
        retries=usage.retries,
        queue_duration=encode_duration(usage.queue),
        tokenization_duration=encode_duration(usage.tokenization),
        inference_duration=encode_duration(usage.inference),
        total_duration=encode_duration(usage.total),
    )


def encode_translation(translation: Translation) -> translation_pb2.Translation:
    """A translated text."""
    return translation_pb2.Translation(
        text=translation.text,
        segments=[_segment(segment) for segment in translation.segments],
        findings=[_finding(finding) for finding in translation.findings],
        model=_model_ref(translation.model),
        usage=encode_usage(translation.usage),
        source_language_code=translation.source_language_code,
        target_language_code=translation.target_language_code,
    )


def encode_event(event: StreamedSegment) -> translation_pb2.StreamTranslateResponse:
    """A streamed segment."""
    result = translation_pb2.SegmentResult(segment=_segment(event.segment), text=event.text)
    return translation_pb2.StreamTranslateResponse(segment=result)


def encode_end(end: StreamEnd) -> translation_pb2.StreamTranslateResponse:
    """The last message of a complete stream."""
    whole = end.whole
    summary = translation_pb2.StreamSummary(
        usage=encode_usage(whole.usage),
        model=_model_ref(whole.model),
        findings=[_finding(finding) for finding in whole.findings],
        source_language_code=whole.source_language_code,
        target_language_code=whole.target_language_code,
    )
    return translation_pb2.StreamTranslateResponse(summary=summary)


def encode_summary(summary: Summary) -> summarization_pb2.Summary:
    """A summarized text."""
    return summarization_pb2.Summary(
        text=summary.text,
        translation=encode_translation(summary.translation) if summary.translation else None,
        coverage=summary.coverage,
        strategy=_STRATEGIES[summary.strategy],
        chunks=[_chunk(chunk) for chunk in summary.chunks],
        evidence=[_evidence(evidence) for evidence in summary.evidence],
        findings=[_finding(finding) for finding in summary.findings],
        score=summary.score,
        model=_model_ref(summary.model),
        usage=encode_usage(summary.usage),
        language_code=summary.language_code,
    )


def _model_ref(model: ModelRef) -> common_pb2.ModelRef:
    return common_pb2.ModelRef(name=model.name, digest=model.digest)


def _span(span: Span | None) -> common_pb2.Span | None:
    return None if span is None else common_pb2.Span(start=span.start, end=span.end)


def _segment(segment: Segment) -> translation_pb2.Segment:
    return translation_pb2.Segment(
        source=_span(segment.source),
        target=_span(segment.target),
        score=segment.score,
        outcome=_OUTCOMES[segment.outcome],
    )


def _finding(finding: Finding) -> common_pb2.Finding:
    return common_pb2.Finding(
        kind=common_pb2.FindingKind.Value(f"FINDING_KIND_{finding.kind.name}"),
        source=_span(finding.source),
        target=_span(finding.target),
        detail=finding.detail[:MAX_DETAIL_CODE_POINTS],
        resolved=finding.resolved,
    )


def _chunk(chunk: Chunk) -> summarization_pb2.Chunk:
    return summarization_pb2.Chunk(source=_span(chunk.source), level=chunk.level, text=chunk.text)


def _evidence(evidence: Evidence) -> summarization_pb2.Evidence:
    return summarization_pb2.Evidence(
        summary=_span(evidence.summary), source=_span(evidence.source), support=evidence.support
    )
