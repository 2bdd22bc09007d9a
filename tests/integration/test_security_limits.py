"""What one peer can take: connections, metadata, memory, pings and time."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import grpc
import pytest

from khulasa.v1 import translation_pb2
from khulasa_client import AsyncClient
from khulasa_client.connection import Connection
from khulasa_server.rpc import port

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from tests.integration.conftest import Gate, Service

    Serve = Callable[..., AbstractAsyncContextManager[Service]]

SENTENCE: Final = "ذهب الولد إلى المدرسة"
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS: Final = b"\0\0\0\x04\0\0\0\0\0"
SETTINGS_ACK: Final = b"\0\0\0\x04\x01\0\0\0\0"
PING: Final = b"\0\0\x08\x06\0\0\0\0\0" + b"khulasa!"
GOAWAY: Final = 7
KIBI: Final = 1024


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[tuple[StreamReader, StreamWriter]]:
    """An HTTP/2 connection by hand."""
    host, _, number = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(number))
    writer.write(PREFACE + SETTINGS + SETTINGS_ACK)
    try:
        yield reader, writer
    finally:
        writer.close()


async def farewell(reader: StreamReader) -> bytes | None:
    """What a GOAWAY says, or None where the connection ends without one."""
    try:
        async with asyncio.timeout(30):
            while True:
                head = await reader.readexactly(9)
                body = await reader.readexactly(int.from_bytes(head[:3], "big"))
                if head[3] == GOAWAY:
                    return body
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


async def ended(reader: StreamReader) -> bool:
    """Whether the server closes a connection."""
    try:
        async with asyncio.timeout(30):
            while await reader.read(64 * KIBI):
                pass
    except ConnectionError:
        pass
    return True


async def served(address: str) -> None:
    """A fresh client gets an answer."""
    async with AsyncClient(address) as client:
        assert (await client.translate(SENTENCE)).text


async def test_connections_are_bounded(serve: Serve) -> None:
    """Connections over the limit are closed at once; when others go, new ones are served."""
    async with serve(max_connections=3) as service, AsyncExitStack() as stack:
        address = service.server.grpc_address
        held = [await stack.enter_async_context(connected(address)) for _ in range(3)]
        for reader, _ in held:
            await reader.readexactly(9)
        async with connected(address) as (reader, _):
            assert await ended(reader)
        await stack.aclose()
        await served(address)


async def test_metadata_is_bounded(service: Service) -> None:
    """A call with too much metadata is refused by gRPC, and its connection goes on."""
    request = translation_pb2.TranslateRequest(contents=[SENTENCE])
    much = (("x-much", "x" * 3 * port.MAX_METADATA_BYTES),)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.translation.Translate(request, timeout=30, metadata=much)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    some = (("x-some", "x" * (port.MAX_METADATA_BYTES // 2)),)
    assert await service.translation.Translate(request, timeout=30, metadata=some)


async def test_connections_grow_old(serve: Serve) -> None:
    """An old connection is told to leave, and its call in flight still gets its answer."""
    async with serve(max_connection_age=0.5, max_connection_age_grace=30.0) as service:
        stub: Any = service.translation
        stream = stub.BulkTranslate()
        await stream.write(translation_pb2.BulkTranslateRequest(id="1", content=SENTENCE))
        assert (await stream.read()).id == "1"
        async with connected(service.server.grpc_address) as (reader, _):
            body = await farewell(reader)
        assert body is not None
        assert b"max_age" in body
        await stream.write(translation_pb2.BulkTranslateRequest(id="2", content=SENTENCE))
        assert (await stream.read()).id == "2"
        stream.cancel()
        await service.assert_well()


async def test_a_call_on_an_old_connection_ends_with_its_grace(serve: Serve) -> None:
    """Nobody keeps a connection for ever by never ending a call, e.g. with a token long gone."""
    async with serve(max_connection_age=0.2, max_connection_age_grace=0.2) as service:
        stub: Any = service.translation
        stream = stub.BulkTranslate()
        await stream.write(translation_pb2.BulkTranslateRequest(id="1", content=SENTENCE))
        assert (await stream.read()).id == "1"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(stream.read(), 30)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_busy_port_is_an_error(service: Service) -> None:
    """A second server on the same port fails instead of stealing calls."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "khulasa_server", "serve", "--engine", "scripted"),
        *("--listen", service.server.grpc_address, "--metrics-listen", "127.0.0.1:0"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate()
    assert process.returncode == 1
    assert out == b""
    assert f"cannot listen on {service.server.grpc_address}" in errors.decode()


async def test_what_is_not_read_is_not_let_in(
    serve: Serve, script: Callable[..., object], gate: Gate
) -> None:
    """While a stream's items are not read, flow control stops its sender within 256 KiB."""
    script(before=gate.hold)
    item = translation_pb2.BulkTranslateRequest(content="كتاب " * 400)
    async with serve() as service:
        stub: Any = service.translation
        stream = stub.BulkTranslate()
        sent = 0
        try:
            while sent < 4096 * KIBI:
                item.id = str(sent)
                async with asyncio.timeout(2):
                    await stream.write(item)
                sent += item.ByteSize()
        except TimeoutError:
            pass
        assert 32 * item.ByteSize() < sent < 256 * KIBI
        stream.cancel()
        gate.opened.set()


async def test_too_many_pings_end_a_connection(service: Service) -> None:
    """Who pings without pause is sent away with the reason."""
    async with connected(service.server.grpc_address) as (reader, writer):
        writer.write(PING * 10)
        body = await farewell(reader)
    assert body is not None
    assert b"too_many_pings" in body
    await service.assert_well()


def test_the_clients_pings_are_never_too_many() -> None:
    """The library pings less often than this server, and a server of gRPC's defaults, permits."""
    options = dict(Connection(address="localhost:1").options())
    period = options["grpc.keepalive_time_ms"]
    assert isinstance(period, int)
    assert period > 1000 * port.MIN_PING_SECONDS
    assert period > 300_000
    assert options["grpc.http2.max_pings_without_data"] == 0


async def test_the_clients_pings_are_let_be(
    serve: Serve, script: Callable[..., object], gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With both periods sixtieth as long, a call that lasts several pings gets its answer."""
    monkeypatch.setattr("khulasa_server.rpc.port.MIN_PING_SECONDS", port.MIN_PING_SECONDS / 60)
    monkeypatch.setattr("khulasa_client.connection.KEEPALIVE_SECONDS", 1)
    script(before=gate.hold)
    async with (
        serve() as service,
        AsyncClient(service.server.grpc_address, retries=False) as client,
    ):
        call = asyncio.ensure_future(client.translate(SENTENCE))
        await asyncio.to_thread(gate.wait)
        # The call is held for as long as several pings take; nothing can be seen before.
        await asyncio.wait({call}, timeout=5)
        gate.opened.set()
        assert (await call).text


async def test_metrics_have_an_address_of_their_own(serve: Serve) -> None:
    """Metrics can be bound where callers do not come, and gRPC's port does not show them."""
    async with serve(metrics_listen="127.0.0.2:0") as service:
        host, _, number = service.server.metrics_address.rpartition(":")
        assert host == "127.0.0.2"
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://{host}:{number}/metrics") as answer:
                assert answer.status == 200
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"http://{service.server.grpc_address}/metrics")
        with socket.socket() as elsewhere:
            assert elsewhere.connect_ex(("127.0.0.1", int(number))) != 0


async def test_a_wrong_setting_is_one_sentence() -> None:
    """What cannot be served as set is said on standard error, and nothing is served."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "khulasa_server", "serve", "--engine", "scripted", "--tls-key", "/none"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate()
    assert (process.returncode, out) == (2, b"")
    sentences = [line for line in errors.decode().splitlines() if not _is_json(line)]
    assert sentences == ["KHULASA_TLS_KEY is set and KHULASA_TLS_CERT is not"]


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
