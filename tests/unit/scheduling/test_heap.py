"""The heap whose entries can be taken back."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from khulasa_server.scheduling.heap import Heap

OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(0, 5)),
        st.tuples(st.just("drop"), st.integers(0, 30)),
    ),
    max_size=300,
)


@settings(deadline=None)
@given(OPERATIONS)
def test_the_lowest_live_entry_is_on_top(operations: list[tuple[str, int]]) -> None:
    """After any pushes and discards, the top is the lowest rank, the earliest among equals."""
    heap: Heap[int] = Heap()
    entries = []
    live: dict[int, int] = {}
    for number, (kind, value) in enumerate(operations):
        if kind == "push":
            entries.append((number, heap.push((value,), number)))
            live[number] = value
        elif entries:
            name, entry = entries[value % len(entries)]
            heap.discard(entry)
            live.pop(name, None)
        top = heap.peek()
        expected = min(live, key=lambda name: (live[name], name), default=None)
        assert (None if top is None else top.value) == expected
        assert len(heap) == len(live)
        assert sorted(heap) == sorted(live)


def test_memory_follows_the_live_entries() -> None:
    """Discarded entries are dropped for good once they are more than half, and 64 more."""
    heap: Heap[int] = Heap()
    entries = [heap.push((number,), number) for number in range(1_000)]
    for entry in entries[5:]:
        heap.discard(entry)
    assert len(heap) == 5
    assert heap.places <= 2 * 5 + 64
    assert sorted(heap) == [0, 1, 2, 3, 4]


def test_few_discarded_entries_stay() -> None:
    """Rebuilding for each discarded entry would cost more than the places do."""
    heap: Heap[int] = Heap()
    entries = [heap.push((number,), number) for number in range(66)]
    for entry in entries[1:65]:
        heap.discard(entry)
    assert (len(heap), heap.places) == (2, 66)
    heap.discard(entries[65])
    assert (len(heap), heap.places) == (1, 66)
    heap.push((7,), 7)
    heap.discard(heap.push((8,), 8))
    assert (len(heap), heap.places) == (2, 68)
    heap.discard(heap.push((9,), 9))
    assert (len(heap), heap.places) == (2, 2)


def test_discarding_twice_counts_once() -> None:
    """An entry that is gone is gone."""
    heap: Heap[str] = Heap()
    entry = heap.push((1.0,), "a")
    heap.push((2.0,), "b")
    heap.discard(entry)
    heap.discard(entry)
    assert len(heap) == 1
    assert entry.value is None
    assert entry.rank == (1.0,)
