"""What goes into a task and what comes out, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from khulasa_server.scheduling.types import CacheMode, Priority

if TYPE_CHECKING:
    from collections.abc import Iterable

    from khulasa_server.guards.evidence import Evidence
    from khulasa_server.guards.findings import Finding
    from khulasa_server.scheduling.types import Completion
    from khulasa_server.text.spans import Span


class Outcome(Enum):
    """What became of a segment."""

    TRANSLATED = "translated"
    COPIED = "copied"
    """Holds no letter of the source language and stands in the answer as it was."""
    TRUNCATED = "truncated"
    """Translated, and cut at the most tokens it may write."""


class Strategy(Enum):
    """How a text longer than the model's window is summarized."""

    LEAD = "lead"
    """The leading sentences that fit."""
    HIERARCHICAL = "hierarchical"
    """Chunk by chunk, then the summaries of the chunks."""


@dataclass(frozen=True, slots=True)
class Options:
    """A caller's wishes.

    Args:
        model: name of a model; empty: chosen by task and languages.
        beam_size: 1 to 16; None: the model's default.
        max_output_tokens: for each segment; None: the model's default.
        cache_mode: whether equal segments may share an output.
        deterministic: every segment runs alone in its batch.
        priority: of its work against others'.
        patient: waits for room where others would be refused; for streams that can stop reading.
    """

    model: str = ""
    beam_size: int | None = None
    max_output_tokens: int | None = None
    cache_mode: CacheMode = CacheMode.USE
    deterministic: bool = False
    priority: Priority = Priority.INTERACTIVE
    patient: bool = False


@dataclass(frozen=True, slots=True)
class TranslateJob:
    """Texts to translate by one model until `deadline` (monotonic seconds).

    `lenient`: texts without a letter of the source language are no error; they are copied.
    """

    contents: tuple[str, ...]
    source_language_code: str
    target_language_code: str
    options: Options
    deadline: float
    lenient: bool = False


@dataclass(frozen=True, slots=True)
class SummarizeJob:
    """A text to summarize until `deadline` (monotonic seconds).

    `language_code` empty: by script. `target_language_code` empty: no translation. `lenient`: a
    text without a letter of its language is no error; it is given back.
    """

    text: str
    language_code: str
    target_language_code: str
    strategy: Strategy
    options: Options
    deadline: float
    translation_model: str = ""
    lenient: bool = False


@dataclass(frozen=True, slots=True)
class ModelRef:
    """Which weights gave an answer."""

    name: str
    digest: str


@dataclass(slots=True)
class Usage:
    """What an answer took; durations are seconds."""

    code_points: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    segments: int = 0
    cache_hits: int = 0
    retries: int = 0
    queue: float = 0.0
    """Longest wait of one segment for its batch to start."""
    tokenization: float = 0.0
    total: float = 0.0
    batches: dict[int, float] = field(default_factory=dict)
    """Batch → its run time; segments of one answer may share a batch, which counts once."""

    @property
    def inference(self) -> float:
        """Run time of all batches that held a segment of this answer."""
        return sum(self.batches.values())

    def add(self, other: Usage) -> None:
        """Count `other`'s work as this answer's too; `total` stays."""
        self.code_points += other.code_points
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.segments += other.segments
        self.cache_hits += other.cache_hits
        self.retries += other.retries
        self.queue = max(self.queue, other.queue)
        self.tokenization += other.tokenization
        self.batches |= other.batches

    def count(self, completion: Completion, input_tokens: int) -> None:
        """Count one run of a segment."""
        self.queue = max(self.queue, completion.queue_seconds)
        if completion.cached:
            self.cache_hits += 1
            return
        self.input_tokens += input_tokens
        self.output_tokens += completion.generation.output_tokens
        self.batches[completion.batch] = completion.inference_seconds

    @classmethod
    def sum(cls, usages: Iterable[Usage], total: float) -> Usage:
        """The usage of all together, which took `total` seconds."""
        usage = cls(total=total)
        for each in usages:
            usage.add(each)
        return usage


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of an answer; spans are in the whole source and the whole target."""

    source: Span
    target: Span
    score: float | None
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Translation:
    """A translated text."""

    text: str
    segments: tuple[Segment, ...]
    findings: tuple[Finding, ...]
    model: ModelRef
    usage: Usage
    source_language_code: str
    target_language_code: str


@dataclass(frozen=True, slots=True)
class StreamedSegment:
    """A segment as soon as it and all before it are done; texts concatenate to the whole."""

    segment: Segment
    text: str


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """The last word of a stream: the whole, for all that is not text."""

    whole: Translation


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of the text and its summary; level 0 was read directly."""

    source: Span
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Summary:
    """A summarized text; `coverage` is code points read ÷ code points given, 0 to 1."""

    text: str
    translation: Translation | None
    coverage: float
    strategy: Strategy
    chunks: tuple[Chunk, ...]
    evidence: tuple[Evidence, ...]
    findings: tuple[Finding, ...]
    score: float | None
    model: ModelRef
    usage: Usage
    language_code: str
