"""Every call passes one gate: it has a deadline, and every failure a status of ours."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from khulasa.v1 import model_pb2
from khulasa_server.errors import InvalidRequestError, Reason
from khulasa_server.rpc.handlers import Gate, abort
from khulasa_server.rpc.requests import Bounds

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

Answer = model_pb2.ListModelsResponse

ANSWER: Final = Answer(next_page_token="next")  # noqa: S106 - of a page


class Aborted(Exception):  # noqa: N818 - what a call ends with
    """The call ended with a status."""


@dataclass
class Context:
    """As much of a servicer's context as a handler uses."""

    remaining: float | None = None
    code: grpc.StatusCode | None = None
    reason: str = ""
    metadata: dict[str, str | bytes] = field(default_factory=dict)

    def time_remaining(self) -> float | None:
        """Seconds to the caller's deadline; None: it has none."""
        return self.remaining

    async def abort(
        self, code: grpc.StatusCode, _details: str, metadata: tuple[tuple[str, str | bytes], ...]
    ) -> NoReturn:
        """Keep the status and end."""
        self.code, self.metadata = code, dict(metadata)
        rich = self.metadata["grpc-status-details-bin"]
        assert isinstance(rich, bytes)
        status = status_pb2.Status()
        status.ParseFromString(rich)
        info = error_details_pb2.ErrorInfo()
        assert status.details[0].Unpack(info)
        self.reason = info.reason
        raise Aborted


def gate(default: float = 60.0, clock: Callable[[], float] = time.monotonic) -> Gate:
    """With a default deadline."""
    return Gate(Bounds(10, 10, 10, default, 300.0), clock, asyncio.Event())


@dataclass
class Clock:
    """Moved by the test."""

    now: float = 100.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def unary(answer: Callable[[bytes, float], Awaitable[Any]], gate_: Gate | None = None) -> Any:  # noqa: ANN401 - a behaviour
    """The behaviour of a unary handler."""
    return (gate_ or gate()).unary(answer).unary_unary


def stream(
    answer: Callable[[bytes, float], AsyncGenerator[Any, None]], gate_: Gate | None = None
) -> Any:  # noqa: ANN401 - a behaviour
    """The behaviour of a streaming handler."""
    return (gate_ or gate()).server_stream(answer).unary_stream


async def listed(answers: AsyncIterator[Any]) -> list[Any]:
    """All of them."""
    return [each async for each in answers]


async def for_ever(_data: bytes, _deadline: float) -> Any:  # noqa: ANN401 - it never returns
    """A call that takes too long."""
    await asyncio.Event().wait()


async def test_an_answer_passes_as_it_is() -> None:
    """Bytes go in, a message comes out, and the handler serializes it."""

    async def answer(data: bytes, _deadline: float) -> Answer:
        assert data == b"request"
        return ANSWER

    handler = gate().unary(answer)
    assert handler.request_deserializer is None
    behaviour: Any = handler.unary_unary
    response = await behaviour(b"request", Context())
    assert handler.response_serializer is not None
    assert Answer.FromString(handler.response_serializer(response)) == ANSWER


@pytest.mark.parametrize(("remaining", "granted"), [(None, 60), (5, 5), (1_000, 300)])
async def test_a_deadline_is_the_callers_or_the_default(
    remaining: float | None, granted: float
) -> None:
    """In seconds of the clock, bounded by the latest one."""
    given: list[float] = []

    async def answer(_data: bytes, deadline: float) -> Answer:
        given.append(deadline - time.monotonic())
        return ANSWER

    await unary(answer)(b"", Context(remaining))
    assert granted - 5 < given[0] <= granted


async def test_a_refusal_has_its_status() -> None:
    """Before the first answer of either kind of call."""

    async def answer(_data: bytes, _deadline: float) -> Answer:
        raise InvalidRequestError(Reason.TEXT_EMPTY, "empty")

    async def answers(data: bytes, deadline: float) -> AsyncGenerator[Answer, None]:
        yield await answer(data, deadline)

    for call in (unary(answer), lambda *given: listed(stream(answers)(*given))):
        context = Context()
        with pytest.raises(Aborted):
            await call(b"", context)
        assert (context.code, context.reason) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "TEXT_EMPTY",
        )


async def test_a_defect_is_logged_and_hidden(logged: list[dict[str, Any]]) -> None:
    """The caller sees INTERNAL; the log has the exception."""

    async def answer(_data: bytes, _deadline: float) -> Answer:
        raise KeyError("a text")

    context = Context()
    with pytest.raises(Aborted):
        await unary(answer)(b"", context)
    assert (context.code, context.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    (line,) = [line for line in logged if line["event"] == "defect"]
    assert isinstance(line["exc_info"], KeyError)


async def test_a_refusal_is_no_defect(logged: list[dict[str, Any]]) -> None:
    """What callers did wrong is not an error of the log, and none of their words is in it."""

    async def answer(_data: bytes, _deadline: float) -> Answer:
        told = {"model": "a text", "limit": "7"}
        raise InvalidRequestError(
            Reason.MODEL_NOT_FOUND, "no model is called a text", metadata=told
        )

    with pytest.raises(Aborted):
        await unary(answer)(b"", Context())
    assert {line["log_level"] for line in logged} == {"debug"}
    assert "a text" not in repr(logged)


async def test_a_deadline_that_passes_ends_the_call() -> None:
    """Also in the middle of a stream, whose answers so far were given."""
    context = Context()
    with pytest.raises(Aborted):
        await unary(for_ever, gate(default=0.01))(b"", context)
    assert (context.code, context.reason) == (
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "DEADLINE_EXCEEDED",
    )

    async def one(data: bytes, deadline: float) -> AsyncGenerator[Answer, None]:
        yield ANSWER
        await for_ever(data, deadline)

    answers = stream(one, gate(default=0.01))(b"", context)
    assert await anext(answers) == ANSWER
    with pytest.raises(Aborted):
        await anext(answers)
    assert context.reason == "DEADLINE_EXCEEDED"


async def test_a_slow_reader_is_not_cancelled_inside_grpc() -> None:
    """While the caller takes its time with an answer no deadline fires; after it the next does."""
    resumed = asyncio.Event()

    async def two(_data: bytes, _deadline: float) -> AsyncGenerator[Answer, None]:
        yield ANSWER
        resumed.set()
        await asyncio.Event().wait()

    clock, context = Clock(), Context(remaining=10.0)
    answers = stream(two, gate(clock=clock))(b"", context)
    await anext(answers)
    clock.now += 11  # the deadline passes while the answer is being written
    assert not resumed.is_set()
    with pytest.raises(Aborted):
        await anext(answers)
    assert resumed.is_set()
    assert context.reason == "DEADLINE_EXCEEDED"


async def test_a_cancelled_call_is_not_answered() -> None:
    """A caller that left gets no status, and what worked for it is cancelled."""
    left = asyncio.Event()

    async def answer(data: bytes, deadline: float) -> Answer:
        try:
            await for_ever(data, deadline)
        finally:
            left.set()
        return ANSWER

    context = Context()
    call = asyncio.ensure_future(unary(answer)(b"", context))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert left.is_set()
    assert context.code is None


async def test_a_bulk_stream_has_no_deadline_of_its_own() -> None:
    """It goes on past the default, and a failure of the stream itself has a status."""

    async def answers(requests: AsyncIterator[bytes]) -> AsyncGenerator[Answer, None]:
        async for _ in requests:
            yield ANSWER
        raise InvalidRequestError(Reason.TEXT_EMPTY, "over")

    async def requests() -> AsyncIterator[bytes]:
        yield b"1"
        clock.now += 1_000
        yield b"2"

    clock, context = Clock(), Context()
    behaviour: Any = gate(clock=clock).bidi_stream(answers).stream_stream
    given = behaviour(requests(), context)
    assert [await anext(given), await anext(given)] == [ANSWER, ANSWER]
    with pytest.raises(Aborted):
        await anext(given)
    assert context.reason == "TEXT_EMPTY"


@pytest.mark.parametrize("error", [grpc.aio.AbortError("over"), grpc.aio.UsageError("late")])
async def test_what_grpc_raised_is_left_to_grpc(error: Exception) -> None:
    """A call that was aborted already is not aborted again."""
    context: Any = Context()
    with pytest.raises(type(error)):
        await abort(context, error)
    assert context.code is None


async def test_a_status_for_a_caller_that_hung_up_is_no_error_of_grpc() -> None:
    """At a shared deadline the caller may hang up first: the call counts as cancelled.

    gRPC would log its failure to send the status as an error with a stack of ours.
    """

    class Closed(Context):
        async def abort(self, *_status: object) -> NoReturn:
            raise grpc.aio.InternalError("ExecuteBatchError")

    context: Any = Closed()
    with pytest.raises(asyncio.CancelledError) as caught:
        await abort(context, InvalidRequestError(Reason.TEXT_EMPTY, "no text"))
    assert isinstance(caught.value.__cause__, grpc.aio.InternalError)
