"""What calls return: plain values, without protobuf."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from khulasa_client.enums import (
        CacheMode,
        FindingKind,
        LongDocumentStrategy,
        ModelState,
        Priority,
        SegmentOutcome,
        Task,
    )
    from khulasa_client.errors import KhulasaError


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How an answer is computed; None: as the model does by default.

    Args:
        beam_size: hypotheses that the search keeps, 1 to 16; 1 is greedy.
        max_output_tokens: most tokens written for a segment or a summary.
        cache_mode: whether the cache of outputs is used.
        deterministic: run every segment alone in its batch; several times slower.
        priority: which queue the work waits in; None: bulk for bulk methods, else interactive.
    """

    beam_size: int | None = None
    max_output_tokens: int | None = None
    cache_mode: CacheMode | None = None
    deterministic: bool = False
    priority: Priority | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of a text in code points: `text[span.start:span.end]`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ModelRef:
    """The model that made a part of an answer; its digest changes with anything in it."""

    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to know about an answer.

    Args:
        kind: a `FindingKind`; a kind newer than this client is told by its number.
        source: where in the text that was sent; None where it has no place there.
        target: where in the text that was answered; None where it has no place there.
        detail: for people.
        resolved: a second attempt replaced the output that had it.
    """

    kind: FindingKind | str
    source: Span | None
    target: Span | None
    detail: str
    resolved: bool


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a text that was translated by itself.

    Args:
        source: where it is in the text that was sent.
        target: where its translation is in the translated text.
        score: mean log-probability per token, at most 0; None where no model ran for it.
        outcome: what was done with it.
    """

    source: Span
    target: Span
    score: float | None
    outcome: SegmentOutcome | str


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer took: counts, and durations in seconds."""

    code_points: int
    input_tokens: int
    output_tokens: int
    segments: int
    cache_hits: int
    retries: int
    queue_seconds: float
    tokenization_seconds: float
    inference_seconds: float
    total_seconds: float


@dataclass(frozen=True, slots=True)
class Translation:
    """A translated text with what is known about it."""

    text: str
    segments: tuple[Segment, ...]
    findings: tuple[Finding, ...]
    model: ModelRef
    usage: Usage
    source_language_code: str
    target_language_code: str


@dataclass(frozen=True, slots=True)
class StreamedSegment:
    """A segment as it is finished; all texts of a stream, concatenated, are the translation."""

    text: str
    source: Span
    target: Span
    score: float | None
    outcome: SegmentOutcome | str


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """What is known at the end of a streamed translation."""

    usage: Usage
    model: ModelRef
    findings: tuple[Finding, ...]
    source_language_code: str
    target_language_code: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a text that the summarizer read at once; level 0 was read from the text."""

    source: Span
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """The sentence of the text that supports a sentence of the summary most, 0 to 1."""

    summary: Span
    source: Span | None
    support: float


@dataclass(frozen=True, slots=True)
class Summary:
    """A summary with what it rests on.

    Args:
        text: in the language of the source.
        translation: of the summary; None unless it was asked for.
        coverage: share of the text that was read, 0 to 1.
        strategy: how a long text was dealt with.
        chunks: every run of the model.
        evidence: for each sentence of the summary what supports it most.
        findings: what to know about the summary.
        score: mean log-probability per token; None where no model ran.
        model: that summarized.
        usage: without the translation's.
        language_code: of the text and the summary.
    """

    text: str
    translation: Translation | None
    coverage: float
    strategy: LongDocumentStrategy | str
    chunks: tuple[Chunk, ...]
    evidence: tuple[Evidence, ...]
    findings: tuple[Finding, ...]
    score: float | None
    model: ModelRef
    usage: Usage
    language_code: str


@dataclass(frozen=True, slots=True)
class BulkItem:
    """One text of a bulk call; `timeout` in seconds, None: the method's default."""

    id: str
    content: str
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class BulkTranslation:
    """What became of one item: exactly one of `translation` and `error` is set."""

    id: str
    translation: Translation | None
    error: KhulasaError | None


@dataclass(frozen=True, slots=True)
class BulkSummary:
    """What became of one item: exactly one of `summary` and `error` is set."""

    id: str
    summary: Summary | None
    error: KhulasaError | None


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """What requests to a model are bounded by: code points, bytes, tokens and seconds."""

    max_code_points: int
    max_request_code_points: int
    max_contents: int
    max_message_bytes: int
    max_input_tokens: int
    segment_tokens: int
    max_output_tokens: int
    max_beam_size: int
    max_queue_seconds: float
    max_bulk_queue_seconds: float
    default_deadline_seconds: float
    max_deadline_seconds: float


@dataclass(frozen=True, slots=True)
class DefaultOptions:
    """How a model generates where a request says nothing."""

    beam_size: int
    max_output_tokens: int
    length_penalty: float
    no_repeat_ngram_size: int
    repetition_penalty: float


@dataclass(frozen=True, slots=True)
class Model:
    """A model as the server serves it; its fields are described in khulasa/v1/model.proto."""

    name: str
    task: Task | str
    source_repository: str
    revision: str
    license: str
    license_notice: str
    digest: str
    engine: str
    compute_type: str
    source_language_codes: tuple[str, ...]
    target_language_codes: tuple[str, ...]
    limits: ModelLimits
    default_options: DefaultOptions
    demonstration: bool
    production_build: str
    state: ModelState | str
    state_detail: str
    vocabulary_size: int
    parameters: int
