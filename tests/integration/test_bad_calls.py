"""Calls that no handler of ours sees, and callers that go away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest

from khulasa.v1 import translation_pb2

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.integration.conftest import Fault, Gate, Service

SENTENCE: Final = "ذهب الولد إلى المدرسة"
MEBI: Final = 1024 * 1024


async def ended(call: Any) -> grpc.aio.AioRpcError:  # noqa: ANN401 - any kind of call
    """How a call fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_a_message_over_the_limit_is_refused_by_grpc(service: Service) -> None:
    """Beyond 4 MiB gRPC answers RESOURCE_EXHAUSTED, without an ErrorInfo; just below we do."""
    content = "ا" * (2 * MEBI)
    error = await ended(service.translate(content))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not service.fault_of(error).details
    await service.refused(
        service.translate(content[:-100]),
        "TEXT_TOO_LONG",
        "contents[0]",
        field="contents[0]",
        limit="30000",
        actual=str(2 * MEBI - 100),
    )
    await service.assert_well()


async def test_an_answer_over_the_limit_is_refused_by_us(
    serve: Callable[..., AbstractAsyncContextManager[Service]],
) -> None:
    """What would not fit into a message is INVALID_ARGUMENT, which no channel asks for again."""
    text = "أ\n" * 300
    items = [
        translation_pb2.BulkTranslateRequest(id="long", content=text),
        translation_pb2.BulkTranslateRequest(id="short", content=SENTENCE),
    ]
    async with serve(max_message_bytes=2_000) as service:
        fault = await refusal(service, service.translate(text))
        assert (fault.code.name, fault.reason) == ("INVALID_ARGUMENT", "REQUEST_TOO_LONG")
        assert fault.metadata["limit"] == "2000"
        assert int(fault.metadata["actual"]) > 2_000
        call = service.translation.BulkTranslate(iter(items), timeout=30)
        answers = {answer.id: answer async for answer in call}
        assert service.fault_in(answers["long"].error).reason == "REQUEST_TOO_LONG"
        assert answers["short"].translation.text == "Dhb alwld Ile almdrsG"
        request = translation_pb2.StreamTranslateRequest(text=text)
        stream = service.translation.StreamTranslate(request, timeout=30)
        assert len([event async for event in stream]) == 301
        await service.assert_well()


async def refusal(service: Service, call: Any) -> Fault:  # noqa: ANN401 - any kind of call
    """Status of a failed call."""
    return service.fault_of(await ended(call))


@pytest.mark.parametrize(
    "path",
    [
        "/khulasa.v1.TranslationService/Nothing",
        "/khulasa.v1.NoService/Translate",
        "/khulasa.v2.TranslationService/Translate",
        "/x",
        "/",
    ],
)
async def test_a_method_that_does_not_exist_is_unimplemented(service: Service, path: str) -> None:
    """The library answers UNIMPLEMENTED, and the server goes on."""
    call: Any = service.channel.unary_unary(path)
    assert (await ended(call(b"", timeout=30))).code() is grpc.StatusCode.UNIMPLEMENTED
    await service.assert_well()


async def test_a_unary_method_called_as_a_stream_answers(service: Service) -> None:
    """The kind of a method is the server's: one message in, one out, whatever the caller thinks."""
    request = translation_pb2.TranslateRequest(contents=[SENTENCE]).SerializeToString()
    stream: Any = service.channel.stream_stream("/khulasa.v1.TranslationService/Translate")
    answers = [data async for data in stream(iter([request]), timeout=30)]
    assert len(answers) == 1
    await service.assert_well()


async def test_a_request_id_comes_back(service: Service) -> None:
    """A caller's x-request-id is in the trailing metadata of an answer and of a refusal."""
    mine = (("x-request-id", "mine/1"),)
    request = translation_pb2.TranslateRequest(contents=[SENTENCE])
    call = service.translation.Translate(request, timeout=30, metadata=mine)
    await call
    assert ("x-request-id", "mine/1") in list(await call.trailing_metadata())
    empty = service.translation.Translate(
        translation_pb2.TranslateRequest(), timeout=30, metadata=mine
    )
    fault = await service.refused(empty, "TEXT_EMPTY", "contents", field="contents")
    assert fault.request_id == "mine/1"


async def test_a_caller_that_hangs_up_mid_stream_frees_its_place(
    script: Callable[..., object],
    gate: Gate,
    serve: Callable[..., AbstractAsyncContextManager[Service]],
) -> None:
    """A stream that is cancelled after its first answer leaves nothing behind in the scheduler."""
    script(before=gate.hold)
    text = "\n".join(["كتاب 7", *[f"الكتاب {'ا' * (number % 60 + 1)}" for number in range(500)]])
    async with serve(cache_bytes=0) as service:
        copied = "12.\n" + text
        request = translation_pb2.StreamTranslateRequest(text=copied)
        call = service.translation.StreamTranslate(request, timeout=60)
        first = await call.read()
        assert isinstance(first, translation_pb2.StreamTranslateResponse)
        assert first.segment.text == "12.\n"
        await asyncio.to_thread(gate.wait)
        call.cancel()
        gate.opened.set()
        async with asyncio.timeout(30):
            await service.idle()
        ran = service.statistics().settled
        assert ran.get("completed", 0) < 500
        await service.assert_well()


async def test_a_lost_connection_frees_every_place(
    script: Callable[..., object],
    gate: Gate,
    serve: Callable[..., AbstractAsyncContextManager[Service]],
) -> None:
    """When a connection goes, the calls of every kind that were on it end."""
    script(before=gate.hold)
    async with serve(cache_bytes=0) as service:
        async with grpc.aio.insecure_channel(service.server.grpc_address) as channel:
            stub: Any = service.stub_on(channel)
            content = translation_pb2.BulkTranslateRequest(id="1", content=SENTENCE)
            unary = stub.Translate(translation_pb2.TranslateRequest(contents=[SENTENCE]))
            stream = stub.StreamTranslate(translation_pb2.StreamTranslateRequest(text=SENTENCE))
            bulk = stub.BulkTranslate(iter([content]))
            for call in (unary, stream, bulk):
                asyncio.ensure_future(call.initial_metadata()).add_done_callback(lambda _: None)
            while service.statistics().requests < 3:
                await service.server.scheduler.change()
        gate.opened.set()
        async with asyncio.timeout(30):
            await service.idle()
        await service.assert_well()
