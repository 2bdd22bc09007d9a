# ruff: noqa: ASYNC109 - a timeout is the deadline that the server is told, not only ours
"""How calls are made with asyncio."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import grpc
from google.protobuf.message import Message

from khulasa_client.async_bulk import AsyncBulkCall, AsyncBulkStream
from khulasa_client.bulk import Item, Session
from khulasa_client.channels import Channels, Lease, Material
from khulasa_client.connection import new_request_id
from khulasa_client.encoding import checked_size, checked_timeout
from khulasa_client.failures import from_cancellation, from_rpc_error
from khulasa_client.methods import serialize
from khulasa_client.streams import AsyncTranslationStream
from khulasa_client.values import BulkItem, BulkSummary, BulkTranslation

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable

    from khulasa.v1 import translation_pb2
    from khulasa_client.connection import Connection
    from khulasa_client.methods import BulkMethod, Method

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)
R = TypeVar("R", bound=BulkTranslation | BulkSummary)


class _Prepared(NamedTuple):
    """What was read from files before a call."""

    metadata: tuple[tuple[str, str], ...]
    material: Material | None


class AsyncTransport:
    """Makes calls over whichever channel is current."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channels = Channels[grpc.aio.Channel](connection, self._make)

    async def close(self) -> None:
        """End calls in flight and the connection."""
        await _close(self._channels.close())

    async def call(
        self, method: Method[Q, A], request: Q, timeout: float | None, request_id: str = ""
    ) -> A:
        """Call a method that takes one message and gives one."""
        checked_size(request, self._connection.max_message_bytes)
        seconds = checked_timeout(timeout, method.timeout)
        request_id = request_id or new_request_id()
        prepared = await self._prepare(request_id)
        async with self._leased(prepared.material) as channel:
            call = channel.unary_unary(method.path, serialize, method.answer.FromString)
            try:
                return await call(request, timeout=seconds, metadata=prepared.metadata)
            except grpc.RpcError as error:
                raise from_rpc_error(error, request_id) from error
            except asyncio.CancelledError as error:
                raise from_cancellation(request_id) from error

    def stream(
        self,
        method: Method[Q, translation_pb2.StreamTranslateResponse],
        request: Q,
        timeout: float | None,
        request_id: str = "",
    ) -> AsyncTranslationStream:
        """Call a method that takes one message and gives a stream."""
        checked_size(request, self._connection.max_message_bytes)
        seconds = checked_timeout(timeout, method.timeout)
        request_id = request_id or new_request_id()

        async def start() -> tuple[Any, Callable[[], Awaitable[None]]]:
            prepared = await self._prepare(request_id)
            lease = await self._acquire(prepared.material)
            call = lease.channel.unary_stream(method.path, serialize, method.answer.FromString)
            running = call(request, timeout=seconds, metadata=prepared.metadata)
            return running, partial(self._release, lease)

        return AsyncTranslationStream(start, request_id)

    def bulk(
        self,
        method: BulkMethod[Q, A, R],
        encode: Callable[[BulkItem, float], Q],
        items: Iterable[Item] | AsyncIterable[Item],
        timeout: float | None,
    ) -> AsyncIterator[R]:
        """Call a method that takes items and answers each."""
        session = Session(
            method,
            encode,
            timeout=checked_timeout(timeout, method.timeout),
            limit=self._connection.max_message_bytes,
            clock=time.monotonic,
        )
        return AsyncBulkCall(session, partial(self._open, method)).run(items)

    async def _open(self, method: BulkMethod[Q, A, R]) -> AsyncBulkStream[Q, A]:
        request_id = new_request_id()
        prepared = await self._prepare(request_id)
        lease = await self._acquire(prepared.material)
        start = lease.channel.stream_stream(method.path, serialize, method.answer.FromString)
        begin = partial(start, metadata=prepared.metadata)
        return AsyncBulkStream[Q, A](begin, request_id, partial(self._release, lease))

    async def _prepare(self, request_id: str) -> _Prepared:
        """Look at the files, away from the event loop where there are any."""
        if self._connection.reads_files:
            return await asyncio.to_thread(self._look, request_id)
        return self._look(request_id)

    def _look(self, request_id: str) -> _Prepared:
        return _Prepared(self._connection.metadata(request_id), self._channels.look())

    @asynccontextmanager
    async def _leased(self, material: Material | None) -> AsyncIterator[grpc.aio.Channel]:
        lease = await self._acquire(material)
        try:
            yield lease.channel
        finally:
            await self._release(lease)

    async def _acquire(self, material: Material | None) -> Lease[grpc.aio.Channel]:
        lease, unused = self._channels.acquire(material)
        await _close(unused)
        return lease

    async def _release(self, lease: Lease[grpc.aio.Channel]) -> None:
        await _close(self._channels.release(lease))

    def _make(self, material: Material) -> grpc.aio.Channel:
        address, options = self._connection.address, self._connection.options()
        if material.credentials is None:
            return grpc.aio.insecure_channel(address, options)
        return grpc.aio.secure_channel(address, material.credentials, options)


async def _close(channel: grpc.aio.Channel | None) -> None:
    if channel is not None:
        await channel.close()
