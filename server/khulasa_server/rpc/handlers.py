"""Method handlers that take raw bytes, so that our own code says what is wrong with them."""

from __future__ import annotations

import asyncio
import math
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, TypeVar

import grpc
import structlog

from khulasa_server.errors import InternalError, ServiceError
from khulasa_server.observability.correlation import current
from khulasa_server.rpc.ending import Ending
from khulasa_server.rpc.status import as_service_error, to_failure

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from google.protobuf.message import Message

    from khulasa_server.rpc.requests import Bounds

    Handler = grpc.RpcMethodHandler[Any, Any]
    Context = grpc.aio.ServicerContext[bytes, Message]

Answer = TypeVar("Answer", bound="Message")

log = structlog.get_logger(__name__)

LOGGED: Final = ("field", "limit", "actual", "needed_seconds", "retry_after_seconds")
"""Of a refusal's metadata, what cannot be a text that somebody put in the wrong field."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What every call passes: its deadline is set, and every failure gets a status.

    Args:
        bounds: deadlines given and allowed.
        clock: monotonic seconds, the event loop's.
        draining: set once the server stops.
        ending: ends the calls that are left when it must.
    """

    bounds: Bounds
    clock: Callable[[], float]
    draining: asyncio.Event
    ending: Ending = field(default_factory=Ending)

    def deadline_of(self, context: Context) -> float:
        """The call's deadline on the clock: the caller's, bounded, or the default."""
        return self.clock() + self.bounds.seconds(context.time_remaining())

    def until(self, deadline: float) -> AbstractAsyncContextManager[None]:
        """Cancels an item of a stream when its deadline passes; the stream ends by itself.

        Raises:
            DeadlineError: it passed.
        """
        return Ending().within(deadline - self.clock())

    def _in_time(self, deadline: float | None) -> AbstractAsyncContextManager[None]:
        return self.ending.within(None if deadline is None else deadline - self.clock())

    def unary(self, answer: Callable[[bytes, float], Awaitable[Message]]) -> Handler:
        """One request, one answer."""

        async def handle(data: bytes, context: Context) -> Message:
            with self.ending.call():
                try:
                    deadline = self.deadline_of(context)
                    async with self._in_time(deadline):
                        return await answer(data, deadline)
                except Exception as error:  # noqa: BLE001 - the table decides what callers see
                    await abort(context, error)

        return grpc.unary_unary_rpc_method_handler(handle, response_serializer=serialize)

    def server_stream(
        self, answer: Callable[[bytes, float], AsyncGenerator[Answer, None]]
    ) -> Handler:
        """One request, several answers."""

        async def handle(data: bytes, context: Context) -> AsyncGenerator[Answer, None]:
            with self.ending.call():
                try:
                    deadline = self.deadline_of(context)
                    async with aclosing(answer(data, deadline)) as answers:
                        async for each in self._bounded(answers, deadline):
                            yield each
                except Exception as error:  # noqa: BLE001 - the table decides what callers see
                    await abort(context, error)

        return grpc.unary_stream_rpc_method_handler(handle, response_serializer=serialize)

    async def _bounded(
        self, answers: AsyncGenerator[Answer, None], deadline: float | None
    ) -> AsyncGenerator[Answer, None]:
        # The time that the caller takes to read is outside: a cancellation there would surface in
        # gRPC's own code, without a status of ours.
        while True:
            async with self._in_time(deadline):
                each = await anext(answers, None)
            if each is None:
                return
            yield each

    def bidi_stream(
        self, answer: Callable[[AsyncIterator[bytes]], AsyncGenerator[Answer, None]]
    ) -> Handler:
        """Many requests, many answers; the stream has the caller's deadline or none."""

        async def handle(
            requests: AsyncIterator[bytes], context: Context
        ) -> AsyncGenerator[Answer, None]:
            with self.ending.call():
                try:
                    async with aclosing(answer(requests)) as answers:
                        async for each in self._bounded(answers, None):
                            yield each
                except Exception as error:  # noqa: BLE001 - the table decides what callers see
                    await abort(context, error)

        return grpc.stream_stream_rpc_method_handler(handle, response_serializer=serialize)


class _Serializable(Protocol):
    def SerializeToString(self) -> bytes: ...  # noqa: N802 - protobuf's name


def serialize(message: _Serializable) -> bytes:
    """Wire format of a message."""
    return message.SerializeToString()


async def abort(context: Context, error: Exception) -> NoReturn:
    """End the call with the status of `error`; a defect goes to the log with its cause.

    A channel is not told to come back after the caller's deadline: it would wait until then, and
    its caller would not learn why. A call that is over already takes no status; its caller hung up,
    which is what a cancelled call is.

    Raises:
        asyncio.CancelledError: the call was over.
    """
    if isinstance(error, (grpc.aio.AbortError, grpc.aio.UsageError)):
        raise error
    report(error)
    left = context.time_remaining()
    patience = math.inf if left is None else left
    try:
        await context.abort(*to_failure(error, current().request_id, patience))
    except grpc.aio.InternalError as closed:
        raise asyncio.CancelledError from closed


def report(error: Exception) -> None:
    """Log a defect; what callers did wrong is theirs to read."""
    if isinstance(as_service_error(error), InternalError):
        log.error("defect", exc_info=error)
    elif isinstance(error, ServiceError):
        told = {key: error.metadata[key] for key in LOGGED if key in error.metadata}
        log.debug("refused", reason=error.reason.value, **told)
