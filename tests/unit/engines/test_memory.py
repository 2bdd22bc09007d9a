"""Memory that was freed is used again, or given back."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

THREADS = """
import ctypes, sys, threading
from khulasa_server.engines import memory

def resident():
    with open("/proc/self/statm") as sizes:
        return int(sizes.read().split()[1]) * 4096

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
if sys.argv[1] != "default":
    assert memory.share_heaps(int(sys.argv[1]))
together = threading.Barrier(8)

def work():
    together.wait()
    blocks = [libc.malloc(1000) for _ in range(2000)]
    together.wait()
    for block in blocks[:-1]:
        libc.free(block)

threads = [threading.Thread(target=work) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
before = resident()
memory.give_back()
print(before - resident())
sys.stdout.flush()
libc.fflush(None)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


@pytest.mark.skipif(not hasattr(os, "confstr"), reason="there is no C library to ask")
@pytest.mark.parametrize(
    ("engines", "fewest", "most"), [("1", 1, 2), ("2", 1, 2), ("4", 3, 4), ("default", 5, 1000)]
)
def test_threads_share_heaps_and_give_back_what_is_free(
    engines: str, fewest: int, most: int
) -> None:
    """Eight threads use a heap for each engine, not one each; what they freed goes back."""
    if "glibc" not in (os.confstr("CS_GNU_LIBC_VERSION") or ""):
        pytest.skip("only glibc has heaps like these")
    environment = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    done = subprocess.run(
        [sys.executable, "-c", THREADS, engines],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert fewest <= len(re.findall(r"<heap nr=", done.stdout)) <= most
    assert int(done.stdout.splitlines()[0]) > 1_000_000


CYCLES = """
import gc, weakref
from khulasa_server.engines import memory

class Node:
    def __init__(self):
        self.self = self

before = len(gc.get_objects())
memory.collect_rarely()
assert len(gc.get_objects()) < before / 100, (before, len(gc.get_objects()))
gone = weakref.ref(Node())
kept = [Node() for _ in range(memory.COLLECT_AFTER - 1000)]
assert gone() is not None
kept += [Node() for _ in range(2000)]
assert gone() is None
"""


def test_what_is_there_at_the_start_is_not_looked_through_again() -> None:
    """Cycles that come later go when enough of them have come, and not before."""
    subprocess.run([sys.executable, "-c", CYCLES], check=True)
