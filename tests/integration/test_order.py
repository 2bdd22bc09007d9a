"""What a caller reads is in the order of what was sent, whatever order it was computed in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import pytest

from khulasa.v1 import common_pb2, translation_pb2
from khulasa_server.engines.scripted import transliterate

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.integration.conftest import Gate, Service

    from khulasa_server.engines.scripted import Call

    Serve = Callable[..., AbstractAsyncContextManager[Service]]

LOOPING: Final = "تكرار"
REST: Final = "\n".join(f"كتاب الولد {'ا' * number}" for number in range(1, 7))
TEXT: Final = f"ذهب {LOOPING} إلى المدرسة\n{REST}"
SEGMENTS: Final = 7
ALONE: Final = common_pb2.Options(deterministic=True)


def holding(gate: Gate, attempt: int) -> Callable[[Call], None]:
    """Holds the first segment's first attempt, or its retry."""
    seen = 0

    def hold(call: Call) -> None:
        nonlocal seen
        if any(tokens[0] == "▁ذهب" for tokens in call.batch):
            seen += 1
            if seen == attempt:
                gate.hold(call)

    return hold


async def until_completed(service: Service, segments: int) -> None:
    """Wait until so many outputs are there."""
    while service.statistics().settled.get("completed", 0) < segments:
        await service.server.scheduler.change()


@pytest.mark.parametrize("attempt", [1, 2])
async def test_a_stream_is_in_order(
    script: Callable[..., object], gate: Gate, serve: Serve, attempt: int
) -> None:
    """Nothing is sent before the first segment, or its retry, is done; then all of it, in order."""
    script(before=holding(gate, attempt), stubborn=frozenset({LOOPING}))
    async with serve() as service:
        before = service.statistics().settled.get("completed", 0)
        request = translation_pb2.StreamTranslateRequest(text=TEXT, options=ALONE)
        call: Any = service.translation.StreamTranslate(request, timeout=60)
        coming = aiter(call)
        first = asyncio.ensure_future(anext(coming))
        await until_completed(service, before + SEGMENTS - 1 + (attempt - 1))
        await asyncio.sleep(0.05)
        assert not first.done()
        gate.opened.set()
        events = [await first, *[event async for event in coming]]
    *parts, end = events
    assert end.WhichOneof("event") == "summary"
    assert end.summary.usage.retries == 1
    assert "".join(part.segment.text for part in parts[1:]) == transliterate(REST)
    starts = [part.segment.segment.source.start for part in parts]
    assert starts == sorted(starts)
    assert len(starts) == SEGMENTS


@pytest.mark.parametrize("attempt", [1, 2])
async def test_a_bulk_item_and_a_call_are_in_order(
    script: Callable[..., object], gate: Gate, serve: Serve, attempt: int
) -> None:
    """Each item's segments are in its order, and a call's contents aligned, beside each other."""
    script(before=holding(gate, attempt), stubborn=frozenset({LOOPING}))
    contents = [*REST.split("\n"), TEXT.replace(f"ذهب {LOOPING}", "عاد")]
    async with serve() as service:
        before = service.statistics().settled.get("completed", 0)
        item = translation_pb2.BulkTranslateRequest(id="a", content=TEXT, options=ALONE)
        call: Any = service.translation.BulkTranslate(iter([item]), timeout=60)
        answers = aiter(call)
        bulk = asyncio.ensure_future(anext(answers))
        answer = await service.translate(*contents, options=ALONE)
        await until_completed(service, before + 3 * SEGMENTS - 2 + attempt - 1)
        assert not bulk.done()
        gate.opened.set()
        translation = (await bulk).translation
        assert not [answer async for answer in answers]
    assert [each.text for each in answer.translations] == [*map(transliterate, contents)]
    assert translation.text.endswith("\n" + transliterate(REST))
    service.assert_tiling(TEXT, translation)
    assert len(translation.segments) == SEGMENTS
    assert translation.usage.retries == 1
