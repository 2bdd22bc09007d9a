"""Answers are in the order of the text, whatever order their segments were computed in."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from khulasa_server.engines.scripted import transliterate
from khulasa_server.tasks.segments import in_order
from khulasa_server.tasks.values import Options, StreamedSegment, TranslateJob

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from tests.unit.tasks.conftest import Office

    from khulasa_server.engines.scripted import Call
    from khulasa_server.tasks.values import StreamEnd

    Make = Callable[..., Office]
    Event = StreamedSegment | StreamEnd

LOOPING = "تكرار"
FIRST = f"ذهب {LOOPING} إلى المدرسة البعيدة"
TEXT = "\n".join([FIRST, *(f"كتاب الولد {'ا' * number} كبير" for number in range(1, 7))])
SEGMENTS = 7


@dataclass
class Holding:
    """Holds one call that reads the first segment, until it is opened.

    Args:
        attempt: which of its calls, from 1 on.
    """

    attempt: int
    opened: threading.Event = field(default_factory=threading.Event)
    seen: int = 0

    def __call__(self, call: Call) -> None:
        """Before a batch is computed."""
        if any("".join(tokens).replace("▁", "").startswith("ذهب") for tokens in call.batch):
            self.seen += 1
            if self.seen == self.attempt:
                assert self.opened.wait(30), "the test never opened it"


@contextmanager
def opening(holding: Holding) -> Iterator[None]:
    """Opens afterwards, also when what was hoped for did not happen."""
    try:
        yield
    finally:
        holding.opened.set()


async def until_completed(office: Office, segments: int) -> None:
    """Wait until the scheduler has delivered so many outputs."""
    while office.desk.scheduler.statistics().settled.get("completed", 0) < segments:
        await office.desk.scheduler.change()


def job(*contents: str) -> TranslateJob:
    """Each segment in a batch of its own."""
    options = Options(deterministic=True)
    return TranslateJob(contents, "ar", "en", options, time.monotonic() + 60, lenient=True)


async def keep(events: AsyncGenerator[Event, None], kept: list[Event]) -> None:
    """All events, as they come."""
    async for event in events:
        kept.append(event)  # noqa: PERF401 - as they come, not all at the end


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_stream_waits_for_its_first_segment(make_office: Make, attempt: int) -> None:
    """Later segments, done long before the first one or its retry, are told after it."""
    holding = Holding(attempt)
    office = make_office(before=holding, looping=frozenset({LOOPING}))
    events: list[Event] = []

    async def scenario() -> None:
        telling = asyncio.ensure_future(keep(office.translator.stream(job(TEXT)), events))
        with opening(holding):
            await until_completed(office, SEGMENTS - 1 + (attempt - 1))
            assert not events
        await telling

    office.run(scenario())
    *segments, end = events
    assert all(isinstance(event, StreamedSegment) for event in segments)
    assert not isinstance(end, StreamedSegment)
    texts = [event.text for event in segments if isinstance(event, StreamedSegment)]
    assert "".join(texts) == transliterate(TEXT)
    assert len(texts) == SEGMENTS
    assert holding.seen == 2


@pytest.mark.parametrize("attempt", [1, 2])
def test_contents_stay_aligned(make_office: Make, attempt: int) -> None:
    """The first content is answered first, though it, or its retry, was computed last."""
    holding = Holding(attempt)
    office = make_office(before=holding, looping=frozenset({LOOPING}))
    contents = [*TEXT.split("\n"), TEXT.replace(LOOPING, "ولد").replace("ذهب", "عاد")]

    async def scenario() -> Any:  # noqa: ANN401 - a list of translations and a usage
        answer = asyncio.ensure_future(office.translator.translate(job(*contents)))
        with opening(holding):
            await until_completed(office, 2 * SEGMENTS - 1 + (attempt - 1))
            assert not answer.done()
        return await answer

    translations, usage = office.run(scenario())
    assert [each.text for each in translations] == [transliterate(each) for each in contents]
    assert usage.retries == 1
    for each in translations:
        starts = [segment.source.start for segment in each.segments]
        assert starts == sorted(starts)


@settings(deadline=None, max_examples=50)
@given(
    ending=st.permutations(range(8)),
    at_once=st.integers(1, 8),
    again=st.sets(st.integers(0, 7)),
)
def test_any_order_of_ends_is_put_right(ending: list[int], at_once: int, again: set[int]) -> None:
    """Whichever job ends first, and whichever waits a second time as a retry does."""

    async def scenario() -> list[int]:
        loop = asyncio.get_running_loop()
        ends = [loop.create_future() for _ in ending]

        async def run(number: int) -> int:
            await ends[number]
            if number in again:
                for _ in ending:
                    await asyncio.sleep(0)
            return number

        for number in ending:
            loop.call_soon(ends[number].set_result, None)
        return [each async for each in in_order(map(run, range(8)), at_once=at_once)]

    assert asyncio.run(scenario()) == list(range(8))
