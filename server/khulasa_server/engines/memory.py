"""What happens to memory that engines and calls have freed."""

from __future__ import annotations

import ctypes
import gc
from typing import Any, Final

_ARENA_MAX: Final = -8
_MMAP_THRESHOLD: Final = -3
_TRIM_THRESHOLD: Final = -1
"""Names that `malloc.h` has for these."""

SETTINGS: Final = {
    # Set, they no longer grow with what is freed: the largest buffers go back to the system at
    # once, and most others never, since to fault their pages in again doubled the processor time.
    _MMAP_THRESHOLD: 8 << 20,
    _TRIM_THRESHOLD: 64 << 20,
}

COLLECT_AFTER: Final = 5_000
"""Objects more than at the last look, after which the interpreter looks for cycles among them; 700
by default."""


def share_heaps(engines: int) -> bool:
    """Let all threads that start from now on share a few heaps. False: this is not glibc.

    Every heap keeps what was freed in it. By default there are eight for a core, and what one batch
    has freed is of no use to the next batch on another thread: with both full-size models the
    server then took 100 to 180 MB more. But engines on one heap wait for each other: two went to
    sleep 1,300 times a second for it, with two heaps 80 times, and the embedded translator writes
    7 % more, in 10 MB more.

    Args:
        engines: threads that compute at once; each may have a heap, and there are two at least.
    """
    mallopt = _function("mallopt")
    settings = {_ARENA_MAX: max(2, engines), **SETTINGS}
    return mallopt is not None and all(mallopt(*each) == 1 for each in settings.items())


def give_back() -> None:
    """Return what is free to the system; takes some milliseconds."""
    trim = _function("malloc_trim")
    if trim is not None:
        trim(0)


def collect_rarely() -> None:
    """Look for cycles less often, and never again through what is there now; takes some 0.1 s.

    A look through everything stopped the event loop for 0.1 s every 700 calls, and nearly all of it
    was modules and models that never go.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


def _function(name: str) -> Any:  # noqa: ANN401 - of the C library
    return getattr(ctypes.CDLL(None), name, None)
