"""How many batches run at once, with how many threads each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ThreadPlan:
    """Workers run batches side by side; `reason` says for people why so many.

    Args:
        workers: batches at once over all models, at least 1.
        threads: of each batch, at least 1.
        cores: usable by this process.
        reason: where the numbers come from.
        chosen: by this program, which may find better ones.
    """

    workers: int
    threads: int
    cores: int
    reason: str
    chosen: bool = False

    @property
    def slots(self) -> int:
        """Engine threads that run at once over all models."""
        return self.workers * self.threads

    def __str__(self) -> str:
        return f"{self.workers}x{self.threads}"


AUTO: Final = "auto"
"""Of the setting: choose, and measure whether that was right."""
_PATTERN = re.compile(r"(?P<workers>[1-9]\d{0,3})x(?P<threads>[1-9]\d{0,3})(?P<force>!?)")


def plan_threads(setting: str, cores: int) -> ThreadPlan:
    """Read the setting `THREADS`.

    `auto` is one worker of one thread for each core, until calibration knows better: on 2 cores
    two workers of one thread gave 1.4 to 1.7 times the throughput of one worker of two threads.
    `2x1` sets both, for good; `4x1!` insists
    on more threads than there are cores.

    Raises:
        ValueError: it is neither, or asks for more threads than cores without the `!`.
    """
    if setting == AUTO:
        reason = "one worker of one thread for each usable core"
        return ThreadPlan(cores, 1, cores, reason, chosen=True)
    match = _PATTERN.fullmatch(setting)
    if match is None:
        raise ValueError(f"KHULASA_THREADS is {setting!r}; it must be 'auto' or like '2x1'")
    workers, threads = int(match["workers"]), int(match["threads"])
    if workers * threads > cores and not match["force"]:
        raise ValueError(
            f"KHULASA_THREADS is {setting!r}: {workers * threads} threads on {cores} usable cores "
            f"would slow each other down; use 'auto', or {setting + '!'!r} to insist"
        )
    return ThreadPlan(workers, threads, cores, f"KHULASA_THREADS={setting}")
