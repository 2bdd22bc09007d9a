"""How calls are made without asyncio."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import grpc
from google.protobuf.message import Message

from khulasa_client.bulk import Item, Session
from khulasa_client.channels import Channels, Lease, Material
from khulasa_client.connection import new_request_id
from khulasa_client.encoding import checked_size, checked_timeout
from khulasa_client.failures import from_rpc_error
from khulasa_client.methods import serialize
from khulasa_client.streams import TranslationStream
from khulasa_client.sync_bulk import BulkCall, BulkStream
from khulasa_client.values import BulkItem, BulkSummary, BulkTranslation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from khulasa.v1 import translation_pb2
    from khulasa_client.connection import Connection
    from khulasa_client.methods import BulkMethod, Method

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)
R = TypeVar("R", bound=BulkTranslation | BulkSummary)


class Transport:
    """Makes calls over whichever channel is current."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channels = Channels[grpc.Channel](connection, self._make)

    def close(self) -> None:
        """End calls in flight and the connection."""
        _close(self._channels.close())

    def call(
        self, method: Method[Q, A], request: Q, timeout: float | None, request_id: str = ""
    ) -> A:
        """Call a method that takes one message and gives one."""
        checked_size(request, self._connection.max_message_bytes)
        seconds = checked_timeout(timeout, method.timeout)
        request_id = request_id or new_request_id()
        metadata = self._connection.metadata(request_id)
        with self._leased() as channel:
            call = channel.unary_unary(method.path, serialize, method.answer.FromString)
            try:
                return call(request, timeout=seconds, metadata=metadata)
            except grpc.RpcError as error:
                raise from_rpc_error(error, request_id) from error

    def stream(
        self,
        method: Method[Q, translation_pb2.StreamTranslateResponse],
        request: Q,
        timeout: float | None,
        request_id: str = "",
    ) -> TranslationStream:
        """Call a method that takes one message and gives a stream."""
        checked_size(request, self._connection.max_message_bytes)
        seconds = checked_timeout(timeout, method.timeout)
        request_id = request_id or new_request_id()
        metadata = self._connection.metadata(request_id)
        lease = self._acquire()
        start = lease.channel.unary_stream(method.path, serialize, method.answer.FromString)
        call = start(request, timeout=seconds, metadata=metadata)
        return TranslationStream(call, request_id, partial(self._release, lease))

    def bulk(
        self,
        method: BulkMethod[Q, A, R],
        encode: Callable[[BulkItem, float], Q],
        items: Iterable[Item],
        timeout: float | None,
    ) -> Iterator[R]:
        """Call a method that takes items and answers each."""
        session = Session(
            method,
            encode,
            timeout=checked_timeout(timeout, method.timeout),
            limit=self._connection.max_message_bytes,
            clock=time.monotonic,
        )
        return BulkCall(session, partial(self._open, method)).run(items)

    def _open(self, method: BulkMethod[Q, A, R]) -> BulkStream[Q, A]:
        request_id = new_request_id()
        metadata = self._connection.metadata(request_id)
        lease = self._acquire()
        start = lease.channel.stream_stream(method.path, serialize, method.answer.FromString)
        begin = partial(start, metadata=metadata)
        return BulkStream[Q, A](begin, request_id, partial(self._release, lease))

    @contextmanager
    def _leased(self) -> Iterator[grpc.Channel]:
        lease = self._acquire()
        try:
            yield lease.channel
        finally:
            self._release(lease)

    def _acquire(self) -> Lease[grpc.Channel]:
        lease, unused = self._channels.acquire(self._channels.look())
        _close(unused)
        return lease

    def _release(self, lease: Lease[grpc.Channel]) -> None:
        _close(self._channels.release(lease))

    def _make(self, material: Material) -> grpc.Channel:
        address, options = self._connection.address, self._connection.options()
        if material.credentials is None:
            return grpc.insecure_channel(address, options)
        return grpc.secure_channel(address, material.credentials, options)


def _close(channel: grpc.Channel | None) -> None:
    if channel is not None:
        channel.close()
