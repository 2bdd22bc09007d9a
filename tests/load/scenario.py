"""What every scenario has: how large it is, how often it runs, and where its samples go."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from tests.load.processes import run_module

from khulasa_server.bundles import store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.load.figures import Results

OUTPUT_TOKENS: Final = 30
"""Written for each sentence by a model that never stops by itself."""
SUMMARY_TOKENS: Final = 60
DOCUMENT_TOKENS: Final = 512


@dataclass(frozen=True, slots=True)
class Bench:
    """One run of the benchmark.

    Args:
        results: where samples go.
        runs: how often each measurement is repeated, its sides next to each other.
        quick: small sizes, to see that everything works; the figures mean little.
    """

    results: Results
    runs: int
    quick: bool

    def size(self, full: int, quick: int) -> int:
        """Of a load."""
        return quick if self.quick else full

    def each_run(self, scenario: str) -> Iterator[int]:
        """Number of each run, announced."""
        for run in range(self.runs):
            self.say(f"{scenario}, run {run + 1} of {self.runs}")
            yield run

    def add(self, name: str, value: float) -> None:
        """Take and show a sample."""
        self.results.add(name, value)
        self.say(f"  {name} {value:.4g}")

    def say(self, text: str) -> None:
        """Show progress."""
        sys.stderr.write(f"{text}\n")


def embedded(name: str) -> store.Bundle:
    """An embedded bundle."""
    return store.load(store.resolve(name))


def bare_seconds(
    bundle: Path, jobs: Sequence[dict[str, Any]], *, workers: int, threads: int
) -> list[float]:
    """Seconds of each job in an engine without a server."""
    task = {"bundle": str(bundle), "workers": workers, "threads": threads, "jobs": list(jobs)}
    seconds: list[float] = run_module("bare", task)["seconds"]
    return seconds


def bare_job(
    rows: list[list[str]], window: int, batch: int, options: dict[str, Any]
) -> dict[str, Any]:
    """A job of `bare`."""
    return {"rows": rows, "window": window, "batch": batch, "options": options}


def quantile(values: Sequence[float], part: float) -> float:
    """Of a sample that has at least one value."""
    return float(np.quantile(values, part))


def poisson(rate: float, seconds: float, seed: int) -> tuple[float, ...]:
    """Arrival times at a mean rate, in no pattern."""
    generator = np.random.default_rng(seed)
    gaps = generator.exponential(1 / rate, size=max(1, round(2 * rate * seconds)))
    times = np.cumsum(gaps)
    return tuple(float(time) for time in times[times < seconds])
