"""How many threads a model's batches should have on this machine, as measured on it."""

from __future__ import annotations

import platform
import re
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
    """What was measured with batches of `threads` threads.

    Args:
        threads: of each batch.
        sentences: a second, with as many batches side by side as there is room for.
        long_seconds: of one long input that has the machine to itself.
    """

    threads: int
    sentences: float
    long_seconds: float


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


def choose(speeds: Sequence[Speed], cores: int, *, long_inputs: bool) -> Choice:
    """The best of what was measured, the usual single thread first.

    Args:
        speeds: one for each candidate.
        cores: that batches fill.
        long_inputs: the model reads whole texts, not sentences, so that one of them may be all
            there is to do.
    """
    usual = speeds[0]
    best = max(speeds, key=lambda speed: speed.sentences)
    if best.sentences < WIDER * usual.sentences:
        best = usual
    fastest = min(speeds, key=lambda speed: speed.long_seconds)
    gain = best.long_seconds / fastest.long_seconds
    lone = fastest.threads if long_inputs and gain >= LONE else 0
    return Choice(
        threads=best.threads,
        lone_threads=lone,
        gain=gain if lone else 1.0,
        reason="; ".join(_told(speed, cores) for speed in speeds),
    )


def _told(speed: Speed, cores: int) -> str:
    plan = f"{cores // speed.threads}x{speed.threads}"
    return f"{plan}: {speed.sentences:.1f} sentences/s, a long input {speed.long_seconds:.3f} s"


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
