"""The values that cross the scheduler's border."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from khulasa_server.engines.base import Generation, GenerationOptions, Tokens


class Priority(IntEnum):
    """Lower runs first."""

    INTERACTIVE = 0
    BULK = 1


class CacheMode(Enum):
    """How one request treats the cache of engine outputs."""

    USE = "use"
    """Read it, join an equal segment in flight, and store what was computed."""
    BYPASS = "bypass"
    """Neither read, nor join, nor store."""


class CacheResult(StrEnum):
    """What the cache did for one submission."""

    HIT = "hit"
    JOINED = "joined"
    MISS = "miss"
    BYPASSED = "bypassed"


class Drop(StrEnum):
    """Why a submission ended before an engine worked on it."""

    CANCELLED = "cancelled"
    EXPIRED = "expired"
    HOPELESS = "hopeless"
    """Its deadline is still ahead, but even alone it would end after it."""
    ENGINE_FAILED = "engine_failed"
    SHUTTING_DOWN = "shutting_down"


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a request's work, as known before tokenization.

    Stages of one request run one after the other; the segments inside one run side by side.

    Args:
        model: name of the model that does it.
        code_points: of text it reads.
        beam_size: of its generation.
        max_output_tokens: that any of its segments may write, at least 1; None: the model's most.
        deterministic: each of its segments runs alone in its batch.
    """

    model: str
    code_points: int
    beam_size: int
    max_output_tokens: int | None = None
    deterministic: bool = False


@dataclass(frozen=True, slots=True)
class Submission:
    """One segment of an admitted request.

    Args:
        model: name of the model that runs it.
        tokens: its pieces, end of sequence included.
        options: options of the engine call; only equal ones share a batch.
        order: position among the request's segments; earlier ones run first.
        cache_mode: how the cache of outputs is used.
        deterministic: it runs alone in its batch, so that no neighbour can change its output.
        retry: a second attempt with stricter options; retries share batches with retries only.
    """

    model: str
    tokens: Tokens
    options: GenerationOptions
    order: int = 0
    cache_mode: CacheMode = CacheMode.USE
    deterministic: bool = False
    retry: bool = False


@dataclass(frozen=True, slots=True)
class Completion:
    """What a submitted item resolves to.

    Args:
        generation: the engine's output.
        queue_seconds: from submission to the start of its batch.
        inference_seconds: the batch's run time.
        cached: True: no engine ran for it, an equal segment had or was having its turn.
        batch: number of its batch in this process, from 1 on; items that ran together share it.
            0: it came out of the cache.
    """

    generation: Generation
    queue_seconds: float
    inference_seconds: float
    cached: bool = False
    batch: int = 0


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Seconds that a batch costs, each at least 0.

    Args:
        fixed: of any batch.
        input_token: of each padded input token.
        step: of each decoding step, whatever the number of rows.
        beam_token: of each output token and beam.
        attention: of each output token, beam and decoding step of the batch: what is computed for
            a token grows with those before it, and beyond the caches with all of the batch's.
    """

    fixed: float = 0.001
    input_token: float = 0.000_05
    step: float = 0.000_5
    beam_token: float = 0.000_3
    attention: float = 0.0


TYPICAL: Final = Coefficients(attention=0.000_001_5)
"""In about the right proportions for any model."""


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """What the scheduler knows of a model before its first batch.

    Args:
        digest: of the model's weights; part of every cache key.
        tokenizer_digest: of its tokenizer; part of every cache key.
        prior: seconds of a batch, as good as start-up could tell.
        threads: slots that each of its batches takes.
        batch_tokens: most padded input tokens of a batch with more than one item.
        batch_rows: most beams of such a batch; each holds the scores of a whole vocabulary, and
            beyond this many a step takes in proportion longer.
        segment_tokens: input tokens of a typical item.
        max_segment_tokens: input tokens of the longest item that is ever submitted.
        tokens_per_code_point: input tokens for a code point of source text.
        output_ratio: output tokens for an input token.
        max_output_tokens: most output tokens of an item.
    """

    digest: str
    tokenizer_digest: str
    prior: Coefficients = TYPICAL
    threads: int = 1
    batch_tokens: int = 2048
    batch_rows: int = 256
    segment_tokens: float = 30.0
    max_segment_tokens: int = 512
    tokens_per_code_point: float = 0.3
    output_ratio: float = 1.0
    max_output_tokens: int = 512


@dataclass(frozen=True, slots=True)
class SchedulerSettings:
    """Bounds of the whole process.

    Args:
        slots: engine threads that run at once, over all models.
        queue_seconds: most estimated seconds that interactive work may wait.
        bulk_queue_seconds: most estimated seconds that bulk work may wait.
        cache_bytes: most bytes of cached outputs; 0 turns the cache off.
        batch_seconds: no batch of several items is predicted to run longer.
        bulk_batch_seconds: the same for bulk, shorter: an interactive call may have to wait for it.
        bulk_share: part of the engine's time that bulk gets while interactive work waits.
        stall_seconds: beyond ten times what was predicted, after which a batch counts as hung.
    """

    slots: int = 1
    queue_seconds: float = 10.0
    bulk_queue_seconds: float = 60.0
    cache_bytes: int = 64 * 1024 * 1024
    batch_seconds: float = 1.0
    bulk_batch_seconds: float = 0.5
    bulk_share: float = 0.1
    stall_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class LaneStatistics:
    """State of one model.

    Args:
        depth: items waiting, by priority.
        estimated_seconds: engine time that waits or is promised, divided by the slots, by priority.
        requests: admitted requests that may still use this model.
        running: batches running.
        threads: slots that each batch takes.
        lone_threads: slots that a long item takes that has the machine to itself; 0: as others.
        serving: False: its engine failed and is being rebuilt.
        coefficients: the fitted cost model.
        cost_error_ratio: recent mean of |predicted - measured| / measured.
    """

    depth: Mapping[Priority, int]
    estimated_seconds: Mapping[Priority, float]
    requests: int
    running: int
    threads: int
    lone_threads: int
    serving: bool
    coefficients: Coefficients
    cost_error_ratio: float


@dataclass(frozen=True, slots=True)
class Statistics:
    """State of the scheduler at one moment.

    `submitted` equals the sum of `settled` plus `outstanding`, always.

    Args:
        lanes: by model.
        slots: engine threads that may run at once.
        running: engine threads that run now.
        requests: admitted and not ended.
        submitted: segments ever submitted.
        outstanding: segments not settled yet.
        settled: segments settled, by outcome.
        cache_bytes: held by the cache.
    """

    lanes: Mapping[str, LaneStatistics]
    slots: int
    running: int
    requests: int
    submitted: int
    outstanding: int
    settled: Mapping[str, int]
    cache_bytes: int
