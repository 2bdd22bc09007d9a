"""How the service scales, by simulation: the scheduler's own code, a virtual clock, no engine.

    python -m tests.load.simulate [--requests N]

Requests of mixed lengths arrive in an open loop. Batches take what the cost model says that a
server fitted to the full-size stand-in: `cost.json`, which the benchmark writes to
build/bench. Draws build/bench/scaling.svg: requests answered in time, and p99
latency, against load, for 1, 2, 4 and 8 workers.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from khulasa_server.engines.base import Finish, Generation, GenerationOptions
from khulasa_server.errors import ServiceError
from khulasa_server.scheduling.core import Batch, SchedulerCore
from khulasa_server.scheduling.cost import Shape, seconds_of
from khulasa_server.scheduling.types import (
    CacheMode,
    Coefficients,
    Completion,
    ModelProfile,
    Priority,
    SchedulerSettings,
    Stage,
    Submission,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from khulasa_server.scheduling.items import Outcome, Request

BUILD: Final = Path(__file__).parents[2] / "build" / "bench"
COST: Final = BUILD / "cost.json"
PICTURE: Final = BUILD / "scaling.svg"
WORKERS: Final = (1, 2, 4, 8)
MODEL: Final = "opus-mt-ar-en"
DEADLINE: Final = 10.0
"""Seconds that every request is given."""
CODE_POINTS_PER_TOKEN: Final = 3.3
NOISE: Final = 0.1
"""Standard deviation of the logarithm of a batch's seconds: machines are not exact."""
LOADS: Final = (0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0)
"""Offered, of what the workers can do."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """One request: tokens in, and tokens that the model will write."""

    tokens: int
    output: int


@dataclass(slots=True)
class Tally:
    """What became of the requests of one simulation.

    Args:
        latencies: of those answered, in seconds.
        refused: at admission.
        late: admitted, and not answered in time.
    """

    latencies: list[float] = field(default_factory=list)
    refused: int = 0
    late: int = 0


@dataclass(order=True, slots=True)
class _Event:
    moment: float
    number: int
    action: Callable[[float], None] = field(compare=False)


class Simulation:
    """One process with so many workers, driven by a virtual clock.

    Args:
        workers: batches at once.
        coefficients: what a batch takes.
        seed: of everything random.
        deadline: seconds that every request is given.
    """

    def __init__(
        self, workers: int, coefficients: Coefficients, seed: int, deadline: float = DEADLINE
    ) -> None:
        self._deadline = deadline
        settings = SchedulerSettings(slots=workers, queue_seconds=max(10.0, deadline))
        self._core = SchedulerCore(settings, random.Random(seed))  # noqa: S311 - a simulation
        self._core.add_model(MODEL, ModelProfile("", "", prior=coefficients, segment_tokens=25.0))
        self._coefficients = coefficients
        self._noise = np.random.default_rng(seed)
        self._events: list[_Event] = []
        self._outputs: dict[int, int] = {}
        self._number = 0
        self.tally = Tally()
        self.ended = 0.0
        """When the last request was settled."""
        self._now = 0.0

    def run(self, sentences: Sequence[Sentence], arrivals: Sequence[float]) -> Tally:
        """Let every sentence arrive and wait until the last is settled."""
        for i, (sentence, moment) in enumerate(zip(sentences, arrivals, strict=True)):
            self._at(moment, partial(self._arrive, i, sentence))
        while self._events:
            event = heapq.heappop(self._events)
            self._now = event.moment
            event.action(event.moment)
            self._dispatch(event.moment)
        return self.tally

    def _at(self, moment: float, action: Callable[[float], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, _Event(moment, self._number, action))

    def _arrive(self, number: int, sentence: Sentence, now: float) -> None:
        stage = Stage(MODEL, round(sentence.tokens * CODE_POINTS_PER_TOKEN), beam_size=4)
        try:
            request = self._core.admit([stage], Priority.INTERACTIVE, now + self._deadline, now)
        except ServiceError:
            self.tally.refused += 1
            return
        # Each input is its own, so its first piece may carry the number of its sentence.
        tokens = (str(number), *[""] * (sentence.tokens - 1))
        self._outputs[number] = sentence.output
        submission = Submission(
            MODEL, tokens, GenerationOptions(beam_size=4), cache_mode=CacheMode.BYPASS
        )
        self._core.submit(request, submission, lambda end: self._settled(request, now, end), now)
        # Whoever waits learns of the deadline then, not when the next batch ends.
        self._at(now + self._deadline, self._core.expire)

    def _settled(self, request: Request, arrived: float, outcome: Outcome) -> None:
        self.ended, latency = self._now, self._now - arrived
        if isinstance(outcome, Completion) and latency <= self._deadline:
            self.tally.latencies.append(latency)
        else:
            self.tally.late += 1
        self._at(self._now, lambda now: self._core.release(request, now))

    def _dispatch(self, now: float) -> None:
        while (work := self._core.next_work(now)) is not None:
            assert isinstance(work, Batch)
            self._start(work, now)

    def _start(self, batch: Batch, now: float) -> None:
        outputs = [self._outputs.pop(int(tokens[0])) for tokens in batch.inputs]
        longest = max(len(tokens) for tokens in batch.inputs)
        shape = Shape(len(outputs), longest, max(outputs), sum(outputs), batch.options.beam_size)
        seconds = seconds_of(self._coefficients, shape) * float(
            np.exp(self._noise.normal(0.0, NOISE))
        )
        generations = [Generation("", ("",) * (output - 1), 0.0, Finish.END) for output in outputs]
        self._at(
            now + seconds, lambda then: self._core.completed(batch, generations, seconds, then)
        )


def draw_sentences(count: int, seed: int) -> list[Sentence]:
    """Sentences of 3 to 120 tokens by Zipf's law, and outputs of 0.5 to 2 times as many."""
    generator = np.random.default_rng(seed)
    lengths = np.arange(3, 121)
    weights = 1.0 / (lengths - 2)
    tokens = generator.choice(lengths, size=count, p=weights / weights.sum())
    ratios = np.clip(generator.lognormal(0.0, 0.3, size=count), 0.5, 2.0)
    return [
        Sentence(int(length), max(1, round(length * ratio)))
        for length, ratio in zip(tokens, ratios, strict=True)
    ]


def capacity(workers: int, coefficients: Coefficients, sentences: Sequence[Sentence]) -> float:
    """Sentences a second with all of them waiting and nobody refused: what a load of 1.0 is."""
    simulation = Simulation(workers, coefficients, seed=0, deadline=1e6)
    tally = simulation.run(sentences, [0.0] * len(sentences))
    return len(tally.latencies) / simulation.ended


@dataclass(frozen=True, slots=True)
class Point:
    """One load on so many workers; rates in requests a second."""

    offered: float
    answered: float
    p99: float


def curve(workers: int, coefficients: Coefficients, count: int) -> list[Point]:
    """Points from light load to twice the capacity."""
    sentences = draw_sentences(count * workers, seed=workers)
    most = capacity(workers, coefficients, sentences)
    return [_point(workers, coefficients, sentences, load * most) for load in LOADS]


def _point(
    workers: int, coefficients: Coefficients, sentences: Sequence[Sentence], rate: float
) -> Point:
    gaps = np.random.default_rng(7).exponential(1 / rate, size=len(sentences))
    arrivals = [float(moment) for moment in np.cumsum(gaps)]
    simulation = Simulation(workers, coefficients, seed=1)
    tally = simulation.run(sentences, arrivals)
    p99 = float(np.quantile(tally.latencies, 0.99))
    return Point(rate, len(tally.latencies) / simulation.ended, p99)


def picture(curves: dict[int, list[Point]], path: Path) -> None:
    """Draw the curves."""
    import matplotlib as mpl  # noqa: PLC0415 - only the picture needs it
    from matplotlib import pyplot as plt  # noqa: PLC0415 - the same

    mpl.rcParams["svg.hashsalt"] = "khulasa"
    figure, (rates, tails) = plt.subplots(1, 2, figsize=(10, 4))
    for workers, points in curves.items():
        label = f"{workers} worker{'s' if workers > 1 else ''}"
        offered = [point.offered for point in points]
        rates.plot(offered, [point.answered for point in points], marker="o", label=label)
        tails.plot(offered, [point.p99 for point in points], marker="o", label=label)
    rates.set(xlabel="requests/s offered", ylabel="requests/s answered in time")
    tails.set(xlabel="requests/s offered", ylabel=f"p99 latency in s (deadline {DEADLINE:g} s)")
    for axes in (rates, tails):
        axes.grid(alpha=0.3)
        axes.set_xscale("log")
    rates.set_yscale("log")
    for axis in (rates.xaxis, rates.yaxis, tails.xaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
    rates.legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Simulate and draw."""
    parser = argparse.ArgumentParser(description="Scaling of the service, by simulation.")
    parser.add_argument("--requests", type=int, default=1_500, help="for each worker")
    arguments = parser.parse_args()
    coefficients = Coefficients(**json.loads(COST.read_text("utf-8"))["coefficients"])
    curves = {}
    for workers in WORKERS:
        curves[workers] = curve(workers, coefficients, arguments.requests)
        most = max(point.answered for point in curves[workers])
        sys.stdout.write(f"{workers} workers: {most:.1f} requests/s\n")
        for point in curves[workers]:
            told = f"{point.offered:8.1f} offered {point.answered:8.1f} answered"
            sys.stdout.write(f"  {told}  p99 {point.p99:.2f} s\n")
    picture(curves, PICTURE)


if __name__ == "__main__":
    main()
