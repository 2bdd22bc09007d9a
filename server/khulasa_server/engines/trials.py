"""Batches of the sizes that matter, run to warm an engine up and to time it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from khulasa_server.engines.base import END, UNKNOWN, GenerationOptions, Timing

if TYPE_CHECKING:
    from khulasa_server.bundles.manifest import Manifest
    from khulasa_server.engines.base import Engine, Tokens

WARM_STEPS: Final = 4
WARM_TOKENS: Final = 192
"""A full-size summarizer takes a second for its longest input, for which every start would wait;
this is long enough to tell what a token costs."""
SENTENCES: Final = 4
SENTENCE_TOKENS: Final = 32


@dataclass(frozen=True, slots=True)
class Trial:
    """A batch to run, and its options."""

    batch: tuple[Tokens, ...]
    options: GenerationOptions


def longest(manifest: Manifest, steps: int, most: int | None = None) -> Trial:
    """One input as long as the model takes, or of `most` tokens if that is shorter."""
    room = _room(manifest)
    return Trial((_filler(min(room, most or room)),), _options(manifest, steps))


def sentences(manifest: Manifest, steps: int, count: int = SENTENCES) -> Trial:
    """So many sentences."""
    each = min(_room(manifest), SENTENCE_TOKENS)
    return Trial((_filler(each),) * count, _options(manifest, steps))


def warm_up(engine: Engine, manifest: Manifest, workers: int) -> tuple[Timing, ...]:
    """Run a long input and a few sentences on `workers` workers at once, and time them."""
    timed = (longest(manifest, WARM_STEPS, WARM_TOKENS), sentences(manifest, WARM_STEPS))
    return tuple(timing for trial in timed for timing in run(engine, trial, workers))


def run(engine: Engine, trial: Trial, workers: int) -> list[Timing]:
    """Time a trial on `workers` workers at once; blocks."""
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda _: _timed(engine, trial), range(workers)))


def _timed(engine: Engine, trial: Trial) -> Timing:
    started = time.perf_counter()
    outputs = engine.generate(trial.batch, trial.options)
    seconds = time.perf_counter() - started
    written = [output.output_tokens for output in outputs]
    return Timing(
        items=len(trial.batch),
        longest=max(map(len, trial.batch)),
        steps=max(written),
        written=sum(written),
        beam_size=trial.options.beam_size,
        seconds=seconds,
    )


def _options(manifest: Manifest, steps: int) -> GenerationOptions:
    return GenerationOptions(
        beam_size=manifest.generation.beam_size,
        max_output_tokens=min(steps, manifest.limits.max_output_tokens),
        target_token=_target(manifest),
    )


def _target(manifest: Manifest) -> str:
    return next(iter(manifest.target_tokens.values()), "")


def _room(manifest: Manifest) -> int:
    return manifest.limits.max_input_tokens - bool(_target(manifest))


def _filler(tokens: int) -> Tokens:
    return (*[UNKNOWN] * (tokens - 1), END)
