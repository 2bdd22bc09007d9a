"""Deadlines, overload and engines that fall: refused in time, with a reason and a way on."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest

from khulasa.v1 import common_pb2, summarization_pb2, translation_pb2
from khulasa_server.bundles.errors import BundleError
from khulasa_server.engines import proving
from khulasa_server.engines.base import EngineError
from khulasa_server.tasks import fleet

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.integration.conftest import Gate, Service

    Serve = Callable[..., AbstractAsyncContextManager[Service]]
    Scripted = Callable[..., object]

SENTENCE: Final = "ذهب الولد إلى المدرسة"
LONG: Final = "ذهب الولد إلى المدرسة البعيدة. " * 900


def translate(service: Service, **call: Any) -> Any:  # noqa: ANN401 - of the call
    """A unary call."""
    request = translation_pb2.TranslateRequest(contents=[SENTENCE])
    return service.translation.Translate(request, **call)


def stream(service: Service, **call: Any) -> Any:  # noqa: ANN401 - of the call
    """The first message of a stream."""
    request = translation_pb2.StreamTranslateRequest(text=SENTENCE)
    return service.translation.StreamTranslate(request, **call).read()


def summarize(service: Service, **call: Any) -> Any:  # noqa: ANN401 - of the call
    """A unary call."""
    request = summarization_pb2.SummarizeRequest(text=SENTENCE)
    return service.summarization.Summarize(request, **call)


@pytest.mark.parametrize("method", [translate, stream, summarize])
@pytest.mark.parametrize("setting", ["default_deadline", "max_deadline"])
async def test_a_deadline_that_passes_says_so(
    script: Scripted, serve: Serve, gate: Gate, method: Callable[..., Any], setting: str
) -> None:
    """A call without a deadline gets the default, a far one is capped: both end with a reason."""
    script(before=gate.hold)
    given = None if setting == "default_deadline" else 60.0
    async with serve(**{setting: 0.3}) as service:
        call = method(service, timeout=given)
        await service.refused(call, "DEADLINE_EXCEEDED", code="DEADLINE_EXCEEDED")
        gate.opened.set()
        await service.idle()
        assert service.statistics().outstanding == 0


async def test_a_callers_own_deadline_frees_its_place(
    script: Scripted, serve: Serve, gate: Gate
) -> None:
    """When the caller's deadline passes, nothing of its call is left."""
    script(before=gate.hold)
    async with serve() as service:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await translate(service, timeout=0.5)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        gate.opened.set()
        async with asyncio.timeout(30):
            await service.idle()
        await service.assert_well()


async def test_a_deadline_that_cannot_be_met_is_refused_at_once(service: Service) -> None:
    """What an idle engine could not finish in time is not begun; the time it needs is told."""
    request = translation_pb2.TranslateRequest(contents=[LONG] * 3)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.translation.Translate(request, timeout=5)
    fault = service.fault_of(caught.value)
    assert (fault.code.name, fault.reason) == ("DEADLINE_EXCEEDED", "DEADLINE_UNREACHABLE")
    assert float(fault.metadata["needed_seconds"]) > 5
    assert fault.retry_seconds == 0
    assert "grpc-retry-pushback-ms" not in fault.trailers
    await service.assert_well()


async def test_all_levels_of_a_summary_must_fit_the_deadline(
    script: Scripted, serve: Serve
) -> None:
    """HIERARCHICAL counts the runs of all levels before the first, and never becomes a LEAD."""
    engines: Any = script()
    async with serve() as service:

        def summary(strategy: Any) -> Any:  # noqa: ANN401 - an enum's value, a call
            request = summarization_pb2.SummarizeRequest(text=LONG, long_document_strategy=strategy)
            return service.summarization.Summarize(request, timeout=1)

        hierarchical = summary(summarization_pb2.LONG_DOCUMENT_STRATEGY_HIERARCHICAL)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await hierarchical
        fault = service.fault_of(caught.value)
        assert fault.reason == "DEADLINE_UNREACHABLE"
        assert float(fault.metadata["needed_seconds"]) > 1
        assert not engines["demo-mt5-ar-summary"].calls
        lead = await summary(summarization_pb2.LONG_DOCUMENT_STRATEGY_LEAD)
        assert 0 < lead.summary.coverage < 1


@pytest.mark.parametrize("priority", [common_pb2.PRIORITY_INTERACTIVE, common_pb2.PRIORITY_BULK])
async def test_overload_is_refused_with_a_time_to_come_back(
    script: Scripted, serve: Serve, gate: Gate, priority: common_pb2.Priority.ValueType
) -> None:
    """Where too much waits, OVERLOADED says when there would be room, in detail and trailer."""
    script(before=gate.hold)
    async with serve(queue_seconds=0.01, bulk_queue_seconds=0.01, cache_bytes=0) as service:
        options = common_pb2.Options(priority=priority)
        first = asyncio.create_task(service.translate(LONG, options=options))
        await asyncio.to_thread(gate.wait)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.translate(SENTENCE, options=options)
        fault = service.fault_of(caught.value)
        assert (fault.code.name, fault.reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED")
        assert fault.retry_seconds > 0
        pushback = fault.trailers["grpc-retry-pushback-ms"]
        assert int(pushback) == math.ceil(fault.retry_seconds * 1000)
        assert float(fault.metadata["retry_after_seconds"]) == pytest.approx(
            fault.retry_seconds, abs=0.001
        )
        gate.opened.set()
        await first
        await service.idle()
        await service.assert_well()


async def test_no_channel_waits_for_room_that_comes_after_its_deadline(
    script: Scripted, serve: Serve, gate: Gate
) -> None:
    """The wait is told, and the trailer says not to try again: the caller learns why at once."""
    script(before=gate.hold)
    async with serve(queue_seconds=0.01, cache_bytes=0) as service:
        first = asyncio.create_task(service.translate(LONG))
        await asyncio.to_thread(gate.wait)
        request = translation_pb2.TranslateRequest(contents=[SENTENCE])
        started = time.monotonic()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.translation.Translate(request, timeout=2.0)
        fault = service.fault_of(caught.value)
        assert (fault.code.name, fault.reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED")
        assert fault.retry_seconds > 2.0
        assert fault.trailers["grpc-retry-pushback-ms"] == "-1"
        assert time.monotonic() - started < 2.0
        gate.opened.set()
        await first
        await service.idle()


async def test_a_bulk_stream_waits_where_others_are_refused(
    script: Scripted, serve: Serve, gate: Gate
) -> None:
    """In a bulk stream overload is back-pressure: every item is answered, none is OVERLOADED."""
    script(before=gate.hold)
    async with serve(queue_seconds=0.01, bulk_queue_seconds=0.01, cache_bytes=0) as service:
        make = translation_pb2.BulkTranslateRequest
        items = [make(id=f"{number}", content=f"{LONG[:3000]} {number}") for number in range(8)]
        call = service.translation.BulkTranslate(iter(items), timeout=60)
        await asyncio.to_thread(gate.wait)
        assert await service.health() == "SERVING"
        gate.opened.set()
        answers = [answer async for answer in call]
    assert {answer.WhichOneof("result") for answer in answers} == {"translation"}
    assert {answer.id for answer in answers} == {item.id for item in items}


async def test_an_engine_that_falls_takes_its_service_down_until_it_is_back(
    monkeypatch: pytest.MonkeyPatch, script: Scripted, serve: Serve
) -> None:
    """A failed golden input turns health off and refuses calls; a rebuilt engine turns it on."""
    broken, rebuilt = threading.Event(), threading.Event()

    def before(_call: object) -> None:
        if broken.is_set():
            raise EngineError("the engine is broken")

    def prove(*_arguments: object) -> Any:  # noqa: ANN401 - a report that nobody reads
        if broken.is_set():
            raise BundleError("a golden input failed")
        return proving.NOT_CHECKED

    def loading(_name: str) -> None:
        if broken.is_set():
            assert rebuilt.wait(30)
            broken.clear()

    script(before=before, loading=loading)
    monkeypatch.setattr(proving, "prove", prove)
    monkeypatch.setattr(fleet, "prove", prove)
    async with serve(engine="ctranslate2") as service:
        await service.assert_well()
        watch = service.watch("khulasa.v1.TranslationService")
        assert await anext(watch) == "SERVING"
        broken.set()
        fault = await service.refused(
            service.translate("كتاب"),
            "ENGINE_FAILED",
            code="UNAVAILABLE",
            model="demo-marian-ar-en",
        )
        assert fault.retry_seconds > 0
        assert await anext(watch) == "NOT_SERVING"
        assert (await service.get("/readyz")).status == 503
        rebuilt.set()
        assert await anext(watch) == "SERVING"
        await service.assert_well()
