"""How many threads a model's batches should have on this machine, as measured on it."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDER: Final = 1.1
"""Times more sentences a second that batches of more threads must bring; less is noise."""
LONE: Final = 1.3
"""Times faster that a long input must be on more threads. They cost a second copy of the weights,
and whoever comes meanwhile waits for all of it."""
MOST_THREADS: Final = 8
"""Of one batch: the products of these models are too small for more."""
_CPUINFO = Path("/proc/cpuinfo")
_PROCESSOR = re.compile(r"^model name\s*:\s*(.+)$", re.MULTILINE)


class Speed(NamedTuple):
    """What one round measured with batches of some number of threads.

    Args:
        sentences: a second, with as many batches side by side as there is room for.
        long_seconds: of one long input that has the machine to itself.
    """

    sentences: float
    long_seconds: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Batches of several threads against batches of one, round by round.

    The worst round counts: a neighbour on the machine may slow down any measurement, and a change
    that was for nothing costs more than one that was missed.

    Args:
        threads: of each batch, at least 2.
        rounds: speed with one thread and, right after it, with `threads`; one pair at least.
    """

    threads: int
    rounds: tuple[tuple[Speed, Speed], ...]

    @property
    def sentences(self) -> list[float]:
        """Times as many sentences a second, worst round first."""
        return sorted(many.sentences / one.sentences for one, many in self.rounds)

    @property
    def long(self) -> list[float]:
        """Times as fast a long input, worst round first."""
        return sorted(one.long_seconds / many.long_seconds for one, many in self.rounds)


class Choice(BaseModel):
    """Threads of one model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threads: int = Field(ge=1)
    """Of each batch."""
    lone_threads: int = Field(default=0, ge=0)
    """Of a long input that has the machine to itself; 0: as of any other."""
    gain: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Times faster that such an input is then."""
    reason: str = ""
    """The figures, for people."""


class _Kept(RootModel[dict[str, Choice]]):
    """Choices by what they were measured for."""


def candidates(cores: int) -> list[int]:
    """Threads a batch may have so that batches fill `cores` cores, fewest first."""
    sizes = {1, 2, 4, MOST_THREADS, min(cores, MOST_THREADS)}
    return sorted(size for size in sizes if size <= cores and cores % size == 0)


def choose(comparisons: Sequence[Comparison], cores: int, *, long_inputs: bool) -> Choice:
    """The best of what was measured.

    Args:
        comparisons: one for each candidate but the first.
        cores: that batches fill.
        long_inputs: the model reads whole texts, not sentences, so that one of them may be all
            there is to do.
    """
    sentences = {each.threads: each.sentences[0] for each in comparisons}
    threads = max(sentences, key=sentences.__getitem__, default=1)
    if sentences.get(threads, 0.0) < WIDER:
        threads = 1
    gains = {each.threads: each.long[0] for each in comparisons}
    usual = gains.get(threads, 1.0)
    wider = {each: gain / usual for each, gain in gains.items() if each > threads}
    lone = max(wider, key=wider.__getitem__, default=0)
    if not long_inputs or wider.get(lone, 0.0) < LONE:
        lone = 0
    reason = "; ".join(_told(each, cores) for each in comparisons)
    return Choice(
        threads=threads, lone_threads=lone, gain=wider[lone] if lone else 1.0, reason=reason
    )


def _told(comparison: Comparison, cores: int) -> str:
    threads, sentences, long = comparison.threads, comparison.sentences, comparison.long
    return (
        f"{cores // threads}x{threads} against {cores}x1: {sentences[0]:.2f} to "
        f"{sentences[-1]:.2f} times the sentences a second, a long input alone {long[0]:.2f} to "
        f"{long[-1]:.2f} times as fast"
    )


def recall(path: Path | None, digest: str, cores: int) -> Choice | None:
    """The choice that is kept for these weights on this machine; None: there is none.

    A file that cannot be read, or holds what cannot be, is as good as none.
    """
    choice = _read(path).get(_key(digest, cores)) if path else None
    if choice is None or choice.threads not in candidates(cores) or choice.lone_threads > cores:
        return None
    return choice


def keep(path: Path | None, digest: str, cores: int, choice: Choice) -> None:
    """Keep a choice beside those that are there; nobody ever sees half a file.

    Raises:
        OSError: it cannot be written.
    """
    if path is None:
        return
    whole = _Kept({**_read(path), _key(digest, cores): choice}).model_dump_json(indent=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        file.write(whole)
    Path(file.name).replace(path)


def _read(path: Path) -> dict[str, Choice]:
    try:
        return _Kept.model_validate_json(path.read_bytes()).root
    except (OSError, ValidationError):
        return {}


def _key(digest: str, cores: int) -> str:
    """What a choice holds for: processor, usable cores, engine and weights."""
    found = _PROCESSOR.search(_CPUINFO.read_text("utf-8")) if _CPUINFO.is_file() else None
    processor = found[1].strip() if found else platform.machine()
    return f"{processor} | {cores} cores | ctranslate2 {version('ctranslate2')} | {digest}"
