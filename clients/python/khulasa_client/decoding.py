"""From protobuf to plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from khulasa.v1 import common_pb2, model_pb2, summarization_pb2, translation_pb2
from khulasa_client import enums, values
from khulasa_client.errors import InternalError

if TYPE_CHECKING:
    from enum import StrEnum

    from google.protobuf import wrappers_pb2
    from google.protobuf.duration_pb2 import Duration

E = TypeVar("E", bound="StrEnum")


def enum(kind: type[E], wrapper: Any, prefix: str, number: int) -> E | str:  # noqa: ANN401 - each enum has a type of its own
    """The name without its prefix; a value newer than this client is told by its number."""
    if number not in wrapper.values():
        return str(number)
    name = str(wrapper.Name(number)).removeprefix(prefix)
    return kind(name) if name in kind.__members__ else name


def seconds(duration: Duration) -> float:
    """A duration in seconds."""
    return duration.seconds + duration.nanos / 1e9


def span(message: common_pb2.Span) -> values.Span:
    """A range."""
    return values.Span(message.start, message.end)


def model_ref(message: common_pb2.ModelRef) -> values.ModelRef:
    """Name and digest of a model."""
    return values.ModelRef(message.name, message.digest)


def finding(message: common_pb2.Finding) -> values.Finding:
    """A finding; a span that is not set is None."""
    return values.Finding(
        kind=enum(enums.FindingKind, common_pb2.FindingKind, "FINDING_KIND_", message.kind),
        source=span(message.source) if message.HasField("source") else None,
        target=span(message.target) if message.HasField("target") else None,
        detail=message.detail,
        resolved=message.resolved,
    )


def usage(message: common_pb2.Usage) -> values.Usage:
    """What an answer took."""
    return values.Usage(
        code_points=message.code_points,
        input_tokens=message.input_tokens,
        output_tokens=message.output_tokens,
        segments=message.segments,
        cache_hits=message.cache_hits,
        retries=message.retries,
        queue_seconds=seconds(message.queue_duration),
        tokenization_seconds=seconds(message.tokenization_duration),
        inference_seconds=seconds(message.inference_duration),
        total_seconds=seconds(message.total_duration),
    )


def outcome(message: translation_pb2.Segment) -> enums.SegmentOutcome | str:
    """What was done with a segment."""
    wrapper = translation_pb2.SegmentOutcome
    return enum(enums.SegmentOutcome, wrapper, "SEGMENT_OUTCOME_", message.outcome)


def segment(message: translation_pb2.Segment) -> values.Segment:
    """A segment of a translation."""
    return values.Segment(
        source=span(message.source),
        target=span(message.target),
        score=message.score if message.HasField("score") else None,
        outcome=outcome(message),
    )


def translation(message: translation_pb2.Translation) -> values.Translation:
    """A translated text."""
    return values.Translation(
        text=message.text,
        segments=tuple(segment(part) for part in message.segments),
        findings=tuple(finding(part) for part in message.findings),
        model=model_ref(message.model),
        usage=usage(message.usage),
        source_language_code=message.source_language_code,
        target_language_code=message.target_language_code,
    )


def translations(
    answer: translation_pb2.TranslateResponse, expected: int
) -> list[values.Translation]:
    """The translations of a request's contents, aligned with them.

    Raises:
        InternalError: there are not as many.
    """
    if len(answer.translations) != expected:
        raise InternalError(
            f"the server gave {len(answer.translations)} translations for {expected} contents",
            code="INTERNAL",
        )
    return [translation(message) for message in answer.translations]


def streamed_segment(message: translation_pb2.SegmentResult) -> values.StreamedSegment:
    """A segment of a stream."""
    part = segment(message.segment)
    return values.StreamedSegment(message.text, part.source, part.target, part.score, part.outcome)


def stream_summary(message: translation_pb2.StreamSummary) -> values.StreamSummary:
    """The end of a stream."""
    return values.StreamSummary(
        usage=usage(message.usage),
        model=model_ref(message.model),
        findings=tuple(finding(part) for part in message.findings),
        source_language_code=message.source_language_code,
        target_language_code=message.target_language_code,
    )


def summary(message: summarization_pb2.Summary) -> values.Summary:
    """A summary, with its translation where there is one."""
    translated = message.HasField("translation")
    return values.Summary(
        text=message.text,
        translation=translation(message.translation) if translated else None,
        coverage=message.coverage,
        strategy=enum(
            enums.LongDocumentStrategy,
            summarization_pb2.LongDocumentStrategy,
            "LONG_DOCUMENT_STRATEGY_",
            message.strategy,
        ),
        chunks=tuple(
            values.Chunk(span(part.source), part.level, part.text) for part in message.chunks
        ),
        evidence=tuple(evidence(part) for part in message.evidence),
        findings=tuple(finding(part) for part in message.findings),
        score=message.score if message.HasField("score") else None,
        model=model_ref(message.model),
        usage=usage(message.usage),
        language_code=message.language_code,
    )


def evidence(message: summarization_pb2.Evidence) -> values.Evidence:
    """What a sentence of a summary rests on."""
    source = span(message.source) if message.HasField("source") else None
    return values.Evidence(span(message.summary), source, message.support)


def model(message: model_pb2.Model) -> values.Model:
    """A model as it is served."""
    return values.Model(
        name=message.name,
        task=enum(enums.Task, model_pb2.Task, "TASK_", message.task),
        source_repository=message.source_repository,
        revision=message.revision,
        license=message.license,
        license_notice=message.license_notice,
        digest=message.digest,
        engine=message.engine,
        compute_type=message.compute_type,
        source_language_codes=tuple(message.source_language_codes),
        target_language_codes=tuple(message.target_language_codes),
        limits=limits(message.limits),
        default_options=default_options(message.default_options),
        demonstration=message.demonstration,
        production_build=message.production_build,
        state=enum(enums.ModelState, model_pb2.ModelState, "MODEL_STATE_", message.state),
        state_detail=message.state_detail,
        vocabulary_size=message.vocabulary_size,
        parameters=message.parameters,
    )


def health(message: wrappers_pb2.Int32Value) -> enums.HealthStatus:
    """The health service's answer; a number it does not define is `UNKNOWN`."""
    known = tuple(enums.HealthStatus)
    return known[message.value] if message.value in range(len(known)) else known[0]


def limits(message: model_pb2.ModelLimits) -> values.ModelLimits:
    """What requests to a model are bounded by."""
    return values.ModelLimits(
        max_code_points=message.max_code_points,
        max_request_code_points=message.max_request_code_points,
        max_contents=message.max_contents,
        max_message_bytes=message.max_message_bytes,
        max_input_tokens=message.max_input_tokens,
        segment_tokens=message.segment_tokens,
        max_output_tokens=message.max_output_tokens,
        max_beam_size=message.max_beam_size,
        max_queue_seconds=seconds(message.max_queue_duration),
        max_bulk_queue_seconds=seconds(message.max_bulk_queue_duration),
        default_deadline_seconds=seconds(message.default_deadline),
        max_deadline_seconds=seconds(message.max_deadline),
    )


def default_options(message: model_pb2.DefaultOptions) -> values.DefaultOptions:
    """How a model generates by default."""
    return values.DefaultOptions(
        beam_size=message.beam_size,
        max_output_tokens=message.max_output_tokens,
        length_penalty=message.length_penalty,
        no_repeat_ngram_size=message.no_repeat_ngram_size,
        repetition_penalty=message.repetition_penalty,
    )
