"""Putting something around a handler, the same way for all four kinds of RPC."""

from __future__ import annotations

import inspect
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import grpc

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    Context = grpc.aio.ServicerContext[Any, Any]
    Handler = grpc.RpcMethodHandler[Any, Any]
    Metadata = tuple[tuple[str, str | bytes], ...]
    Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]
    Behaviour = Callable[[Any, Context], Awaitable[object]]
    # From a request, or an iterator over requests, to the response; None after `context.write`.

_MAKERS: Final = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


class Wrapper(Protocol):
    """What is put around a behaviour: runs it, in its own way, exactly once."""

    async def __call__(self, inner: Behaviour, request: object, context: Context, /) -> object:
        """Run `inner` and return what it returns."""
        ...


class WrappedContext:
    """A servicer's context that does what the one inside does, save what a subclass changes.

    Args:
        inner: the context of the call, wrapped or not.
    """

    def __init__(self, inner: Context) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    async def abort_with_status(self, status: grpc.Status) -> None:
        """As grpc does it, through the `abort` of this class."""
        abort = cast("Context", self).abort
        await abort(status.code, status.details, status.trailing_metadata)

    def as_context(self) -> Context:
        """This, as the type that servicers ask for."""
        return cast("Context", self)


def wrap(handler: Handler, wrapper: Wrapper) -> Handler:
    """A handler of the same kind whose behaviour runs inside `wrapper`.

    Raises:
        TypeError: the behaviour is neither a coroutine function nor an async generator function;
            grpc would run it in a thread, which nothing here is made for.
    """
    behaviour = _behaviour(handler)

    async def wrapped(request: object, context: Context) -> object:
        return await wrapper(behaviour, request, context)

    make = _MAKERS[handler.request_streaming, handler.response_streaming]
    made: Handler = make(wrapped, handler.request_deserializer, handler.response_serializer)
    return made


def _behaviour(handler: Handler) -> Behaviour:
    served: Any = (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )
    if inspect.iscoroutinefunction(served):
        return cast("Behaviour", served)
    if inspect.isasyncgenfunction(served):
        return _written(served)
    raise TypeError(f"{served!r} is not async")


def _written(
    generate: Callable[[object, Context], AsyncGenerator[object, None]],
) -> Behaviour:
    """An async generator as a coroutine that writes, closed as soon as its call is over."""

    async def write_all(request: object, context: Context) -> None:
        async with aclosing(generate(request, context)) as responses:
            async for response in responses:
                await context.write(response)

    return write_all


class WrappedRequests:
    """The incoming messages of a call, each shown to a callback as it is read.

    Args:
        inner: grpc's iterator.
        on_message: called once for each.
    """

    def __init__(self, inner: AsyncIterator[object], on_message: Callable[[], None]) -> None:
        self._inner = inner
        self._on_message = on_message

    def __aiter__(self) -> AsyncIterator[object]:
        return self

    async def __anext__(self) -> object:
        message = await anext(self._inner)
        self._on_message()
        return message
