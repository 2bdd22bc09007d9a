"""What the C library does with memory that engines have freed; nothing where it is not glibc."""

from __future__ import annotations

import ctypes
from typing import Any, Final

_ARENA_MAX: Final = -8
_MMAP_THRESHOLD: Final = -3
_TRIM_THRESHOLD: Final = -1
"""Names that `malloc.h` has for these."""

SETTINGS: Final = {
    # Every heap keeps what was freed in it. By default there are eight for a core, and what one
    # batch has freed is of no use to the next batch on another thread: with both full-size models
    # the server then took 100 to 180 MB more.
    _ARENA_MAX: 1,
    # Set, they no longer grow with what is freed: the largest buffers go back to the system at
    # once, and most others never, since to fault their pages in again doubled the processor time.
    _MMAP_THRESHOLD: 8 << 20,
    _TRIM_THRESHOLD: 64 << 20,
}


def share_heap() -> bool:
    """Let all threads that start from now on share one heap. False: this is not glibc."""
    mallopt = _function("mallopt")
    return mallopt is not None and all(mallopt(*each) == 1 for each in SETTINGS.items())


def give_back() -> None:
    """Return what is free to the system; takes some milliseconds."""
    trim = _function("malloc_trim")
    if trim is not None:
        trim(0)


def _function(name: str) -> Any:  # noqa: ANN401 - of the C library
    return getattr(ctypes.CDLL(None), name, None)
