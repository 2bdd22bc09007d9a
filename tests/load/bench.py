"""The benchmark: measures every published figure and writes build/bench/results.json.

    python -m tests.load.bench [--only NAME …] [--runs N] [--quick] [--table]

Ratios are measured side by side: both sides of one follow each other within a run, and what is
published is the median over runs. Each measured process has an environment of its own, one thread
unless the figure is about threads; the load generator is always another process.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING, Final

from tests.load import lightness, mixing, summaries, throughput
from tests.load.figures import FIGURES, Results, table, write
from tests.load.processes import PARITY, BenchError
from tests.load.scenario import Bench
from tests.load.standins import BUILD

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

RESULTS: Final[Path] = BUILD / "results.json"
RUNS: Final = 3
BUSY: Final = 0.5
"""Load average before anything is measured, above which others use the machine."""

SCENARIOS: Final[Mapping[Callable[[Bench], None], tuple[str, ...]]] = {
    lightness.ready: ("ready_seconds",),
    lightness.cache: ("cache_",),
    lightness.overhead: ("overhead_",),
    lightness.variance: ("batch_variance_",),
    mixing.mixed: ("mixed_length_",),
    mixing.overload: ("overload_", "late_work_ratio", "refusal_ms_p99"),
    throughput.throughput: ("ceiling_", "naive_", "resident_mb"),
    summaries.summary: ("summary_",),
    summaries.two_models: ("two_model_",),
    summaries.memory: ("resident_mb_transformers",),
}
"""Scenario → beginnings of the names of its figures, in the order run."""


def chosen(only: list[str]) -> list[Callable[[Bench], None]]:
    """Scenarios that measure the figures asked for, all of them where none is named.

    Raises:
        BenchError: a name is no figure.
    """
    unknown = [name for name in only if name not in FIGURES]
    if unknown:
        raise BenchError(f"no figure is called {unknown[0]}; there are {', '.join(FIGURES)}")
    return [
        scenario
        for scenario, prefixes in SCENARIOS.items()
        if not only or any(owner(name) == prefixes for name in only)
    ]


def owner(figure: str) -> tuple[str, ...]:
    """Prefixes of the scenario that measures a figure: of several that fit, the longest."""
    fitting = [
        (max(map(len, hits)), prefixes)
        for prefixes in SCENARIOS.values()
        if (hits := [prefix for prefix in prefixes if figure.startswith(prefix)])
    ]
    return max(fitting)[1]


def parse() -> argparse.Namespace:
    """Flags."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these figures")
    parser.add_argument("--runs", type=int, default=RUNS, help="repetitions of each measurement")
    parser.add_argument("--quick", action="store_true", help="small sizes, to try it out")
    parser.add_argument(
        "--table", action="store_true", help="show the last results, measure nothing"
    )
    return parser.parse_args()


def measure(arguments: argparse.Namespace) -> int:
    """Run the scenarios; results are written after each. How many of them failed."""
    if not PARITY.exists():
        raise BenchError("the baselines need torch: run `make bench`, or `make parity` first")
    busy = os.getloadavg()[0]
    if busy > BUSY:
        sys.stderr.write(f"the machine is busy (load {busy:.1f}): the figures will be wrong\n")
    failed = 0
    for scenario in chosen(arguments.only):
        bench = Bench(Results(quick=arguments.quick), arguments.runs, quick=arguments.quick)
        try:
            scenario(bench)
        except (BenchError, RuntimeError, OSError) as error:
            failed += 1
            bench.say(f"{scenario.__name__} failed: {error}")
        write(RESULTS, bench.results)
    return failed


def main() -> int:
    """Measure and show; non-zero if something could not be measured."""
    arguments = parse()
    try:
        failed = 0 if arguments.table else measure(arguments)
    except BenchError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(table(json.loads(RESULTS.read_text("utf-8"))) + "\n")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
