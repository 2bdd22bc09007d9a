"""From the first bound port to the last answered call."""

from __future__ import annotations

import asyncio
import shutil
import threading
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest

from khulasa.v1 import model_pb2, summarization_pb2, translation_pb2
from khulasa_server.bundles import store

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.integration.conftest import Gate, Service

    Serve = Callable[..., AbstractAsyncContextManager[Service]]
    Scripted = Callable[..., object]

SENTENCE: Final = "ذهب الولد إلى المدرسة"
TRANSLATED: Final = "Dhb alwld Ile almdrsG"
TRANSLATOR, SUMMARIZER = "demo-marian-ar-en", "demo-mt5-ar-summary"
TRANSLATION: Final = "khulasa.v1.TranslationService"
SUMMARIZATION: Final = "khulasa.v1.SummarizationService"
MODELS: Final = "khulasa.v1.ModelService"


async def state_of(service: Service, name: str) -> model_pb2.Model:
    """What GetModel says."""
    request = model_pb2.GetModelRequest(name=name)
    return (await service.models.GetModel(request, timeout=30)).model


async def healths(service: Service) -> dict[str, bool]:
    """Whether each service, and "", serves."""
    names = ("", TRANSLATION, SUMMARIZATION, MODELS)
    return {name: await service.health(name) == "SERVING" for name in names}


async def test_ports_answer_while_models_load(script: Scripted, serve: Serve) -> None:
    """From the bound port on the list of models, probes and refusals that say when answer."""
    entered, go = threading.Event(), threading.Event()

    def loading(name: str) -> None:
        if name == SUMMARIZER:
            entered.set()
            assert go.wait(30)

    script(loading=loading)
    async with serve(bound=lambda: asyncio.to_thread(entered.wait, 30)) as service:
        try:
            await asyncio.wait_for(until_serving(service, TRANSLATOR), 30)
            await check_loading(service)
        finally:
            go.set()
        await service.starting
        assert set((await healths(service)).values()) == {True}
        assert (await service.get("/readyz")).status == 200
        assert (await state_of(service, SUMMARIZER)).state == model_pb2.MODEL_STATE_SERVING
        await service.assert_well()


async def until_serving(service: Service, name: str) -> None:
    """Models load side by side: the other one may still be on its way."""
    while (await state_of(service, name)).state != model_pb2.MODEL_STATE_SERVING:  # noqa: ASYNC110 - of a server, which tells nobody
        await asyncio.sleep(0.01)


async def check_loading(service: Service) -> None:
    """The translator is loaded, the summarizer is not."""
    assert (await state_of(service, TRANSLATOR)).state == model_pb2.MODEL_STATE_SERVING
    assert (await state_of(service, SUMMARIZER)).state == model_pb2.MODEL_STATE_LOADING
    assert await healths(service) == {
        "": False,
        TRANSLATION: True,
        SUMMARIZATION: False,
        MODELS: True,
    }
    assert (await service.translate(SENTENCE)).translations[0].text == TRANSLATED
    request = summarization_pb2.SummarizeRequest(text=SENTENCE)
    fault = await service.refused(
        service.summarization.Summarize(request, timeout=30),
        "NOT_READY",
        code="UNAVAILABLE",
        model=SUMMARIZER,
        state="loading",
    )
    assert fault.retry_seconds == 2.0
    assert fault.trailers["grpc-retry-pushback-ms"] == "2000"
    assert (await service.get("/livez")).status == 200
    probe = await service.get("/readyz")
    assert probe.status == 503
    assert probe.body == {"ready": False, "waiting_for": {SUMMARIZATION: f"loading {SUMMARIZER}"}}
    assert "khulasa_build_info" in (await service.get("/metrics")).body


async def test_nothing_serves_before_the_first_model(script: Scripted, serve: Serve) -> None:
    """A server that has bound its ports is not ready by default: "" is not SERVING, nor 200."""
    entered, go = threading.Event(), threading.Event()

    def loading(_name: str) -> None:
        entered.set()
        assert go.wait(30)

    script(loading=loading)
    async with serve(bound=lambda: asyncio.to_thread(entered.wait, 30)) as service:
        try:
            assert [name for name, serving in (await healths(service)).items() if serving] == [
                MODELS
            ]
            assert (await service.get("/readyz")).status == 503
            await service.refused(
                service.translate(SENTENCE),
                "NOT_READY",
                code="UNAVAILABLE",
                model=TRANSLATOR,
                state="loading",
            )
        finally:
            go.set()


@pytest.fixture
def bundles(tmp_path: Path) -> tuple[str, ...]:
    """Copies of the embedded bundles; in the translator's weights a byte is flipped."""
    for bundle in store.embedded():
        shutil.copytree(bundle.path, tmp_path / bundle.manifest.name)
    weights = tmp_path / TRANSLATOR / "model" / "model.bin"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    return tuple(str(tmp_path / name) for name in (TRANSLATOR, SUMMARIZER))


async def test_a_flipped_byte_keeps_one_model_from_serving(
    serve: Serve, bundles: tuple[str, ...]
) -> None:
    """Its service is down and GetModel says which file differs; the other model serves."""
    async with serve(models=bundles) as service:
        broken = await state_of(service, TRANSLATOR)
        assert broken.state == model_pb2.MODEL_STATE_FAILED
        assert "model/model.bin" in broken.state_detail
        assert (await state_of(service, SUMMARIZER)).state == model_pb2.MODEL_STATE_SERVING
        assert await healths(service) == {
            "": False,
            TRANSLATION: False,
            SUMMARIZATION: True,
            MODELS: True,
        }
        await service.refused(
            service.translate(SENTENCE),
            "NOT_READY",
            code="UNAVAILABLE",
            model=TRANSLATOR,
            state="failed",
        )
        request = summarization_pb2.SummarizeRequest(text=SENTENCE)
        assert (await service.summarization.Summarize(request, timeout=30)).summary.text
        probe = await service.get("/readyz")
        assert (probe.status, list(probe.body["waiting_for"])) == (503, [TRANSLATION])
        assert "model/model.bin" in probe.body["waiting_for"][TRANSLATION]


async def test_required_services_decide_readiness(serve: Serve, bundles: tuple[str, ...]) -> None:
    """With only summaries required a server without a translator is ready."""
    async with serve(models=bundles, required_services=("SummarizationService",)) as service:
        assert await service.health() == "SERVING"
        assert await service.health(TRANSLATION) == "NOT_SERVING"
        probe = await service.get("/readyz")
        assert (probe.status, probe.body["ready"]) == (200, True)
        assert list(probe.body["waiting_for"]) == [TRANSLATION]


async def test_a_service_without_a_model_is_not_required(serve: Serve) -> None:
    """A server of one model is ready without the other service, unless that is required."""
    for required, ready in (((), True), (("TranslationService",), False)):
        async with serve(models=(SUMMARIZER,), required_services=required) as service:
            assert await service.health() == ("SERVING" if ready else "NOT_SERVING")
            assert await service.health(TRANSLATION) == "NOT_SERVING"
            assert (await service.get("/readyz")).status == (200 if ready else 503)
            await service.refused(
                service.translate(SENTENCE),
                "MODEL_NOT_FOUND",
                "model",
                code="NOT_FOUND",
                model="",
                candidates="",
            )


@pytest.mark.parametrize("setting", ["listen", "metrics_listen"])
async def test_a_busy_port_is_a_start_up_error(
    service: Service, serve: Serve, setting: str
) -> None:
    """The error names the address, and the server that has it is not disturbed."""
    server = service.server
    taken = {"listen": server.grpc_address, "metrics_listen": server.metrics_address}[setting]
    with pytest.raises(OSError, match=f"cannot listen on {taken}: ") as caught:
        await serve(**{setting: taken}).__aenter__()
    assert "\n" not in str(caught.value)
    await service.assert_well()


async def test_a_call_in_flight_is_answered_before_the_end(
    script: Scripted, serve: Serve, gate: Gate
) -> None:
    """While draining nothing serves, probes say so, watches end, and calls under way finish."""
    script(before=gate.hold)
    async with serve() as service:
        watch = service.watch()
        assert await anext(watch) == "SERVING"
        call = asyncio.create_task(service.translate(SENTENCE))
        await asyncio.to_thread(gate.wait)
        draining = asyncio.create_task(service.server.drain())
        assert [status async for status in watch] == ["NOT_SERVING"]
        assert (await service.get("/livez")).status == 200
        assert (await service.get("/readyz")).status == 503
        assert not draining.done()
        gate.opened.set()
        assert (await call).translations[0].text == TRANSLATED
        await draining
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.translate(SENTENCE)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_drain_waits_for_balancers_first(serve: Serve) -> None:
    """During the delay health says NOT_SERVING and calls are still answered."""
    async with serve(drain_delay=60.0) as service:
        draining = asyncio.create_task(service.server.drain())
        await service.until_not_serving()
        assert (await service.get("/readyz")).status == 503
        assert (await service.translate(SENTENCE)).translations[0].text == TRANSLATED
        assert not draining.done()
        service.server.request_stop()
        service.server.request_stop()
        await draining


async def test_a_bulk_stream_is_drained(script: Scripted, serve: Serve, gate: Gate) -> None:
    """Items that were read are answered; then the stream says SHUTTING_DOWN and when to retry."""
    script(before=gate.hold)
    async with serve() as service:
        queue: asyncio.Queue[Any] = asyncio.Queue()

        async def items() -> Any:  # noqa: ANN401 - an async iterator
            while True:
                yield await queue.get()

        make = translation_pb2.BulkTranslateRequest
        call: Any = service.translation.BulkTranslate(items())
        for number in range(3):
            queue.put_nowait(make(id=f"{number}", content=f"كتاب {number}"))
        while service.statistics().requests < 3:
            await service.server.scheduler.change()
        draining = asyncio.create_task(service.server.drain())
        await service.until_draining()
        queue.put_nowait(make(id="late", content=SENTENCE))
        gate.opened.set()
        answers = [await call.read() for _ in range(3)]
        assert {answer.id: answer.translation.text for answer in answers} == {
            f"{number}": f"ktab {number}" for number in range(3)
        }
        fault = await service.refused(call.read(), "SHUTTING_DOWN", code="UNAVAILABLE")
        assert fault.retry_seconds == 0.5
        await draining


async def test_stopping_twice_does_not_wait_for_calls(
    script: Scripted, serve: Serve, gate: Gate
) -> None:
    """A second request to stop ends calls in flight with UNAVAILABLE."""
    script(before=gate.hold)
    async with serve() as service:
        call = asyncio.create_task(service.translate(SENTENCE))
        await asyncio.to_thread(gate.wait)
        service.server.request_stop()
        draining = asyncio.create_task(service.server.drain())
        await service.until_draining()
        service.server.request_stop()
        await draining
        stopping = asyncio.create_task(service.server.stop())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
        gate.opened.set()
        await stopping
