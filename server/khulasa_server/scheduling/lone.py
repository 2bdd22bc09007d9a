"""More threads for a long item that has the whole machine to itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

WORTH: Final = 1.3
"""Times faster that more threads must make a long item; a second copy of the weights and the
callers who come meanwhile and wait for all of it are the price."""
GIVEN_UP: Final = 1.1
"""Times faster below which they are given up: a neighbour on the machine makes threads that wait
for each other slower than one alone."""
LONG_SECONDS: Final = 0.2
"""Predicted run time from which an item is long; what is shorter keeps a thread free for others."""
KNOWN_AFTER: Final = 4
"""Batches on the usual threads that must have been measured, to have something to compare with."""
_MEMORY: Final = 0.7


@dataclass(slots=True)
class Lone:
    """What the second engine of a model is worth.

    Args:
        threads: of its only worker, at least 2.
        gain: times faster than with the usual threads.
    """

    threads: int
    gain: float

    def observe(self, usual: float, seconds: float) -> None:
        """Learn that a batch took `seconds` that would have taken `usual` seconds."""
        self.gain = _MEMORY * self.gain + (1 - _MEMORY) * usual / max(seconds, 1e-6)

    @property
    def pays(self) -> bool:
        """Whether it is still faster."""
        return self.gain >= GIVEN_UP
