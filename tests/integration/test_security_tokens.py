"""Tokens and their limits over real channels, with bare stubs and with the client library."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from khulasa.v1 import model_pb2, summarization_pb2, translation_pb2
from khulasa_client import AsyncClient, OverloadedError, UnauthenticatedError
from khulasa_server.rpc.tokens import hash_of, line_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.integration.conftest import Gate, Service

    Serve = Callable[..., AbstractAsyncContextManager[Service]]

SENTENCE: Final = "ذهب الولد إلى المدرسة"
ALICE: Final = "alice" * 8
BOB: Final = "bob" * 14
TRANSLATE: Final = translation_pb2.TranslateRequest(contents=[SENTENCE])


def line(token: str, concurrency: int | None = None, rate: str = "") -> str:
    """Of the file."""
    return line_of(token[:3], hash_of(token), concurrency, rate) + "\n"


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """Metadata with a token."""
    return (("authorization", f"Bearer {token}"),)


class Tokens:
    """The file, with Alice's token at first."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "tokens"
        self.hold(line(ALICE))

    def hold(self, *lines: str) -> None:
        """Replace what is in it, as an atomic rename does."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text("".join(lines))
        fresh.rename(self.path)


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    """What the server accepts."""
    return Tokens(tmp_path)


def every_call(service: Service, **call: Any) -> list[Awaitable[Any]]:  # noqa: ANN401 - of a stub
    """One call of each of our methods."""
    translation: Any = service.translation
    summarization: Any = service.summarization
    models: Any = service.models
    item = translation_pb2.BulkTranslateRequest(id="1", content=SENTENCE)
    summary = summarization_pb2.SummarizeRequest(text=SENTENCE)
    streams = [
        translation.StreamTranslate(translation_pb2.StreamTranslateRequest(text=SENTENCE), **call),
        translation.BulkTranslate(iter([item]), **call),
        summarization.BulkSummarize(
            iter([summarization_pb2.BulkSummarizeRequest(id="1", content=summary.text)]), **call
        ),
    ]
    return [
        translation.Translate(TRANSLATE, **call),
        summarization.Summarize(summary, **call),
        models.ListModels(model_pb2.ListModelsRequest(), **call),
        models.GetModel(model_pb2.GetModelRequest(name="demo-marian-ar-en"), **call),
        *map(first, streams),
    ]


async def first(stream: Any) -> object:  # noqa: ANN401 - a call of any kind of stream
    """Its first answer."""
    return await stream.read()


async def test_every_method_wants_a_token(serve: Serve, tokens: Tokens) -> None:
    """Without a token every method of ours is UNAUTHENTICATED, with it every one answers."""
    async with serve(tokens_file=tokens.path) as service:
        for call in every_call(service, timeout=60):
            await service.refused(call, "TOKEN_INVALID", code="UNAUTHENTICATED")
        for call in every_call(service, timeout=60, metadata=bearer(ALICE)):
            assert await call


@pytest.mark.parametrize(
    "metadata",
    [
        bearer(BOB),
        bearer(hash_of(ALICE)),
        bearer(hash_of(ALICE).removeprefix("sha256:")),
        bearer(ALICE + "x"),
        bearer(""),
        (("authorization", ALICE),),
        (("authorization", "Bearer"),),
        (("authorization", f"Basic {ALICE}"),),
        (*bearer(BOB), *bearer(ALICE)),
        (*bearer(ALICE), *bearer(BOB)),
        (("x-authorization", f"Bearer {ALICE}"),),
    ],
)
async def test_anything_else_is_no_token(
    serve: Serve, tokens: Tokens, metadata: tuple[tuple[str, str], ...]
) -> None:
    """Another token, the hash itself, another scheme, or two headers let nobody in."""
    async with serve(tokens_file=tokens.path) as service:
        call = service.translation.Translate(TRANSLATE, timeout=60, metadata=metadata)
        fault = await service.refused(call, "TOKEN_INVALID", code="UNAUTHENTICATED")
        assert ALICE not in fault.message


async def test_the_scheme_is_spelled_in_any_case(serve: Serve, tokens: Tokens) -> None:
    """`bearer` and `BEARER` are the same scheme (RFC 9110)."""
    async with serve(tokens_file=tokens.path) as service:
        for scheme in ("bearer", "BEARER"):
            metadata = (("authorization", f"{scheme} {ALICE}"),)
            assert await service.translation.Translate(TRANSLATE, timeout=60, metadata=metadata)


async def test_health_is_open_and_reflection_is_not(serve: Serve, tokens: Tokens) -> None:
    """Probes need no token; whoever wants to see the schema does."""
    async with serve(tokens_file=tokens.path) as service:
        assert await service.health() == "SERVING"
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(cast("grpc.Channel", service.channel))
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        hidden = first(stub.ServerReflectionInfo(iter([request]), timeout=60))
        await service.refused(hidden, "TOKEN_INVALID", code="UNAUTHENTICATED")
        seen: Any = await first(
            stub.ServerReflectionInfo(iter([request]), timeout=60, metadata=bearer(ALICE))
        )
        assert seen.list_services_response.service


async def test_reflection_can_be_switched_off(serve: Serve) -> None:
    """Without reflection the schema is not there, under either name."""
    async with serve(reflection=False) as service:
        for version in ("v1", "v1alpha"):
            path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
            call: Any = service.channel.stream_stream(path)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await first(call(iter([b""]), timeout=60))
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_the_client_brings_its_token(serve: Serve, tokens: Tokens) -> None:
    """The library sends the token with every call, and types the refusal of another."""
    async with serve(tokens_file=tokens.path) as service:
        address = service.server.grpc_address
        async with AsyncClient(address, token=ALICE, insecure_token=True) as client:
            assert (await client.translate(SENTENCE)).text
            assert [answer.id async for answer in client.bulk_translate([SENTENCE])] == ["0"]
        async with AsyncClient(address, token=BOB, insecure_token=True) as client:
            with pytest.raises(UnauthenticatedError) as caught:
                await client.translate(SENTENCE)
            assert caught.value.reason == "TOKEN_INVALID"


async def test_a_changed_file_is_in_force_by_itself(serve: Serve, tokens: Tokens) -> None:
    """A new token is soon accepted and an old one soon refused, without a restart."""
    async with serve(tokens_file=tokens.path) as service:
        call = service.translation.Translate
        assert await call(TRANSLATE, timeout=60, metadata=bearer(ALICE))
        tokens.hold(line(BOB))
        async with asyncio.timeout(30):
            while not await accepted(call(TRANSLATE, timeout=60, metadata=bearer(BOB))):
                pass
        assert not await accepted(call(TRANSLATE, timeout=60, metadata=bearer(ALICE)))


async def accepted(call: Awaitable[object]) -> bool:
    """Whether a call is let in."""
    with suppress(grpc.aio.AioRpcError):
        return bool(await call)
    return False


async def test_a_rate_is_kept_to_a_token(serve: Serve, tokens: Tokens) -> None:
    """Beyond its rate a token is RATE_LIMITED with a time to come back; another token is not."""
    tokens.hold(line(ALICE, rate="2/minute"), line(BOB))
    async with serve(tokens_file=tokens.path) as service:
        mine: dict[str, Any] = {"timeout": 60, "metadata": bearer(ALICE)}
        for _ in range(2):
            assert await service.translation.Translate(TRANSLATE, **mine)
        fault = await service.refused(
            service.translation.Translate(TRANSLATE, **mine),
            "RATE_LIMITED",
            code="RESOURCE_EXHAUSTED",
            limit="2/minute",
        )
        assert 30 <= fault.retry_seconds <= 36
        milliseconds = float(fault.trailers["grpc-retry-pushback-ms"])
        assert milliseconds == pytest.approx(1000 * fault.retry_seconds, abs=1)
        mine["metadata"] = bearer(BOB)
        for _ in range(5):
            assert await service.translation.Translate(TRANSLATE, **mine)


async def test_the_client_tells_a_limit_at_once(serve: Serve, tokens: Tokens) -> None:
    """A rate that comes back after the deadline is an error now, not at the deadline."""
    tokens.hold(line(ALICE, rate="1/day"))
    async with serve(tokens_file=tokens.path) as service:
        address = service.server.grpc_address
        async with AsyncClient(address, token=ALICE, insecure_token=True) as client:
            assert (await client.translate(SENTENCE)).text
            with pytest.raises(OverloadedError) as caught:
                await client.translate(SENTENCE)
            assert caught.value.reason == "RATE_LIMITED"
            assert caught.value.retry_after is not None
            assert caught.value.retry_after >= 86_400


async def test_the_client_comes_back_when_told(serve: Serve, tokens: Tokens) -> None:
    """A rate that comes back in time is waited for by the channel, unseen by its caller."""
    tokens.hold(line(ALICE, rate="2/second"))
    async with serve(tokens_file=tokens.path) as service:
        address = service.server.grpc_address
        async with AsyncClient(address, token=ALICE, insecure_token=True) as client:
            for _ in range(4):
                assert (await client.translate(SENTENCE)).text


async def test_bulk_items_count_and_are_read_later(serve: Serve, tokens: Tokens) -> None:
    """A stream does not get around the rate: its items are paced and none is refused."""
    tokens.hold(line(ALICE, rate="50/second"))
    loop = asyncio.get_running_loop()
    async with serve(tokens_file=tokens.path) as service:
        address = service.server.grpc_address
        start = loop.time()
        async with AsyncClient(address, token=ALICE, insecure_token=True) as client:
            answers = [
                answer async for answer in client.bulk_translate([SENTENCE] * 75, timeout=60)
            ]
        # The first 50 at once, the others as the rate comes back: never in less than 25/50 s.
        assert loop.time() - start >= 0.5
        assert len(answers) == 75
        assert all(answer.error is None for answer in answers)


async def test_calls_at_once_are_kept_to_a_token(
    serve: Serve, tokens: Tokens, script: Callable[..., object], gate: Gate
) -> None:
    """One call more than allowed is CONCURRENCY_LIMITED; ends and hang-ups make room."""
    script(before=gate.hold)
    tokens.hold(line(ALICE, concurrency=1), line(BOB))
    async with serve(tokens_file=tokens.path) as service:
        translate = service.translation.Translate
        mine: dict[str, Any] = {"timeout": 60, "metadata": bearer(ALICE)}
        held = asyncio.ensure_future(_answer(translate(TRANSLATE, **mine)))
        await asyncio.to_thread(gate.wait)
        fault = await service.refused(
            translate(TRANSLATE, **mine),
            "CONCURRENCY_LIMITED",
            code="RESOURCE_EXHAUSTED",
            limit="1",
        )
        assert 1.0 <= fault.retry_seconds <= 1.2
        other = asyncio.ensure_future(
            _answer(translate(TRANSLATE, timeout=60, metadata=bearer(BOB)))
        )
        gate.opened.set()
        assert await held
        assert await other
        assert await translate(TRANSLATE, **mine)


async def _answer(call: Awaitable[object]) -> object:
    return await call
