"""The figures: what each is, what it must be, and how samples of it become one number."""

from __future__ import annotations

import json
import operator
import os
import platform
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import ctranslate2
import grpc

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_HOLDS: Final = {"≥": operator.ge, "≤": operator.le}


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that is published.

    Args:
        unit: of it.
        means: what it is, in a few words.
        sense: `≥` or `≤`: on which side of its gate it must be; empty: it has none.
        gate: what must hold.
        goal: what is aimed at.
    """

    unit: str
    means: str
    sense: str = ""
    gate: float = 0.0
    goal: float = 0.0

    @property
    def target(self) -> str:
        """The gate, for people; empty where there is none."""
        return f"{self.sense} {self.gate:g}" if self.sense else ""

    def met(self, value: float) -> bool:
        """Whether a value passes the gate."""
        return not self.sense or bool(_HOLDS[self.sense](value, self.gate))


_GOODPUT: Final = "answered in time, of what could be served, at {} times the capacity"

FIGURES: Final[Mapping[str, Figure]] = {
    "ceiling_ratio": Figure(
        "ratio", "served sentences/s, 256 in flight, to bare CTranslate2", "≥", 0.90, 0.97
    ),
    "ceiling_global_ratio": Figure("ratio", "the same, to bare CTranslate2 sorted as a whole"),
    "ceiling_served_rps": Figure("sentences/s", "served, 256 in flight, 30 tokens each"),
    "naive_ratio": Figure("ratio", "served sentences/s to `generate` per request", "≥", 20, 35),
    "naive_rps": Figure("sentences/s", "`MarianMTModel.generate` per request, 30 tokens each"),
    "mixed_length_ratio": Figure(
        "ratio", "sentences/s to batches in the order of arrival", "≥", 1.1, 1.3
    ),
    "mixed_length_p99_ratio": Figure("ratio", "p99 latency, to that of FIFO", "≤", 1.0, 0.8),
    "mixed_length_p99_seconds": Figure("s", "p99 latency at 0.8 times FIFO's capacity"),
    "mixed_length_longest_batch": Figure("s", "longest batch", "≤", 1.0, 1.0),
    "two_model_ratio": Figure(
        "ratio", "both models at once, to the same work in bare engines", "≥", 0.9, 1.0
    ),
    "two_model_bounded_ratio": Figure("ratio", "the same, to bare batches that keep the second"),
    "overload_goodput_ratio_0_8x": Figure("ratio", _GOODPUT.format("0.8"), "≥", 0.9, 0.97),
    "overload_goodput_ratio_2x": Figure("ratio", _GOODPUT.format("2"), "≥", 0.9, 0.97),
    "overload_goodput_ratio_5x": Figure("ratio", _GOODPUT.format("5"), "≥", 0.9, 0.97),
    "late_work_ratio": Figure(
        "ratio", "tokens computed for nobody, the worst load", "≤", 0.02, 0.0
    ),
    "refusal_ms_p99": Figure("ms", "from a handler's start to its refusal", "≤", 20, 5),
    "overload_capacity_rps": Figure("requests/s", "closed loop; four sentences a request"),
    "overload_memory_growth_mb": Figure("MB", "resident, from before to after the overload"),
    "cache_rps": Figure("segments/s", "repeated, 128 a request", "≥", 2_000, 10_000),
    "cache_calls_rps": Figure("requests/s", "repeated, one segment a request"),
    "overhead_ms_p50": Figure("ms", "added by all but the engine, one sentence", "≤", 2.0, 2.0),
    "overhead_server_ms_p50": Figure("ms", "the same without gRPC and the client"),
    "overhead_grpc_ms_p50": Figure("ms", "the same of a server that does nothing: the floor"),
    "overhead_seldom_ms_p50": Figure("ms", "the same as the caller sees it, 4 calls a second"),
    "summary_ratio": Figure("ratio", "summaries/s to transformers, 512 tokens to 60", "≥", 4, 6),
    "summary_lone_ratio": Figure("ratio", "the same, one summary at a time"),
    "resident_mb": Figure("MB", "most resident with both int8 models", "≤", 800, 600),
    "resident_mb_transformers": Figure("MB", "transformers with both models in float32"),
    "ready_seconds": Figure("s", "from the start to SERVING, both int8 models", "≤", 3.0, 1.5),
    "batch_variance_ratio": Figure("ratio", "translations that depend on their batch"),
    "batch_variance_ratio_summaries": Figure("ratio", "summaries that depend on their batch"),
}
"""In the order shown."""


class Results:
    """Samples of the figures, and what must be known to read them.

    Args:
        quick: from small sizes, which is told with each figure.
    """

    def __init__(self, *, quick: bool = False) -> None:
        self._quick = quick
        self._samples: dict[str, list[float]] = {}
        self._notes: dict[str, str] = {}

    def add(self, name: str, value: float) -> None:
        """Take one sample."""
        if name not in FIGURES:
            raise KeyError(name)
        self._samples.setdefault(name, []).append(value)

    def note(self, name: str, text: str) -> None:
        """Keep a sentence with a figure."""
        self._notes[name] = text

    def to_json(self) -> dict[str, Any]:
        """`figures` of the file."""
        return {name: self._entry(name) for name in FIGURES if name in self._samples}

    def _entry(self, name: str) -> dict[str, Any]:
        figure, samples = FIGURES[name], self._samples[name]
        entry: dict[str, Any] = {
            "median": statistics.median(samples),
            "min": min(samples),
            "max": max(samples),
            "runs": len(samples),
            "unit": figure.unit,
            "target": figure.target,
        }
        if self._quick:
            entry["quick"] = True
        if figure.sense:
            entry |= {"goal": figure.goal, "met": figure.met(entry["median"])}
        return entry | ({"note": self._notes[name]} if name in self._notes else {})


def write(path: Path, results: Results) -> dict[str, Any]:
    """Add what was measured to the file, keeping the figures that were not; the whole content."""
    before: dict[str, Any] = {}
    if path.exists():
        before = json.loads(path.read_text("utf-8"))["figures"]
    found = before | results.to_json()
    content = {
        "machine": machine(),
        "figures": {name: found[name] for name in FIGURES if name in found},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", "utf-8")
    return content


def machine() -> dict[str, Any]:
    """What the figures hold for."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "ctranslate2": str(ctranslate2.__version__),
        "grpcio": str(grpc.__version__),
    }


def table(content: Mapping[str, Any]) -> str:
    """The figures as a Markdown table."""
    return "\n".join(_rows(content["figures"]))


def _rows(found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield "| figure | median | min to max | runs | gate | goal | met | what it is |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, entry in found.items():
        figure = FIGURES[name]
        goal = f"{figure.goal:g}" if figure.sense else ""
        met = ("yes" if figure.met(entry["median"]) else "**no**") if figure.sense else ""
        spread = f"{_shown(entry['min'])} to {_shown(entry['max'])}"
        value = f"{_shown(entry['median'])} {figure.unit}".removesuffix(" ratio")
        cells = (f"`{name}`", value, spread, entry["runs"], figure.target, goal, met, figure.means)
        yield f"| {' | '.join(map(str, cells))} |"


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
