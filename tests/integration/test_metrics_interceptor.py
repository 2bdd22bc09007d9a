"""What the interceptors count and say, over a real server and a real channel."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics import exposition

from khulasa_server.observability.correlation import Correlation, current
from khulasa_server.observability.grpc_metrics import GrpcMetrics, Method
from khulasa_server.rpc.method_names import CODES
from khulasa_server.rpc.metrics_interceptor import MetricsInterceptor
from khulasa_server.rpc.request_id import RequestIdInterceptor
from khulasa_server.rpc.wrapping import wrap

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from khulasa_server.rpc.wrapping import Behaviour

    Context = grpc.aio.ServicerContext[Any, Any]
    Metadata = tuple[tuple[str, str], ...]

SERVICE = "khulasa.test.Echo"
KINDS = {
    "Ask": "unary",
    "Listen": "server_stream",
    "ListenWriting": "server_stream",
    "Tell": "client_stream",
    "Talk": "bidi_stream",
    "TalkWriting": "bidi_stream",
}
FLOOD = "Flood"
ALL_KINDS = {**KINDS, FLOOD: "server_stream"}
METHODS = [Method(kind, SERVICE, name) for name, kind in ALL_KINDS.items()]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


class DefectError(Exception):
    """A defect of the servicer under test."""


@dataclass
class Echo:
    """Does what a request says: echoes, aborts, fails, or waits until it is cancelled."""

    waiting: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    left: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    correlations: list[Correlation] = field(default_factory=list)

    async def obey(self, order: bytes, context: Context) -> bytes:
        """Run one order of the form `verb:argument`."""
        self.correlations.append(current())
        verb, _, argument = order.decode().partition(":")
        if verb == "abort":
            await context.abort(grpc.StatusCode[argument], "as told")
        if verb == "fail":
            raise DefectError(argument)
        if verb == "mark":
            context.set_code(grpc.StatusCode[argument])
        if verb == "wait":
            await self.wait()
        return order

    async def wait(self) -> None:
        """Until cancelled; whoever takes from `left` runs after the outcome was counted."""
        self.waiting.put_nowait(None)
        try:
            await asyncio.Event().wait()
        finally:
            self.left.put_nowait(None)

    async def ask(self, request: bytes, context: Context) -> bytes:
        """One in, one out."""
        return await self.obey(request, context)

    async def listen(self, request: bytes, context: Context) -> AsyncGenerator[bytes, None]:
        """One in, two out."""
        yield b"first"
        yield await self.obey(request, context)

    async def listen_writing(self, request: bytes, context: Context) -> None:
        """One in, two out, without a generator."""
        await context.write(b"first")
        await context.write(await self.obey(request, context))

    async def tell(self, requests: AsyncIterator[bytes], context: Context) -> bytes:
        """Any in, one out."""
        return b",".join([await self.obey(request, context) async for request in requests])

    async def talk(
        self, requests: AsyncIterator[bytes], context: Context
    ) -> AsyncGenerator[bytes, None]:
        """Any in, as many out."""
        async for request in requests:
            yield await self.obey(request, context)

    async def talk_writing(self, _requests: AsyncIterator[bytes], context: Context) -> None:
        """Any in, as many out, without an iterator or a generator."""
        while (request := await context.read()) is not grpc.aio.EOF:
            await context.write(await self.obey(request, context))

    async def flood(self, _request: bytes, context: Context) -> None:
        """Writes for ever."""
        try:
            while True:
                await context.write(bytes(1_000_000))
                self.waiting.put_nowait(None)
        finally:
            self.left.put_nowait(None)

    def handlers(self) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        """By method; requests arrive as raw bytes."""
        return {
            "Ask": grpc.unary_unary_rpc_method_handler(self.ask),
            "Listen": grpc.unary_stream_rpc_method_handler(self.listen),
            "ListenWriting": grpc.unary_stream_rpc_method_handler(self.listen_writing),
            "Tell": grpc.stream_unary_rpc_method_handler(self.tell),
            "Talk": grpc.stream_stream_rpc_method_handler(self.talk),
            "TalkWriting": grpc.stream_stream_rpc_method_handler(self.talk_writing),
            FLOOD: grpc.unary_stream_rpc_method_handler(self.flood),
        }


@dataclass
class Outcome:
    """What a caller sees."""

    code: grpc.StatusCode
    trailers: list[tuple[str, str | bytes]]

    def trailer(self, key: str) -> list[str | bytes]:
        """All values of a key of the trailing metadata."""
        return [value for name, value in self.trailers if name == key]


@dataclass
class Bench:
    """A server under test, a channel to it, and what it counted."""

    echo: Echo
    channel: grpc.aio.Channel
    registry: CollectorRegistry

    def count(self, name: str, method: str, service: str = SERVICE, **labels: str) -> float:
        """Value of `grpc_server_NAME` for a method."""
        kind = ALL_KINDS.get(method, "unary")
        named = {"grpc_type": kind, "grpc_service": service, "grpc_method": method, **labels}
        value = self.registry.get_sample_value(f"grpc_server_{name}", named)
        assert value is not None, f"no series {name} {named}"
        return value

    def outcomes(self, method: str, service: str = SERVICE) -> dict[str, float]:
        """Counted outcomes other than 0, by code."""
        counts = {
            code: self.count("handled_total", method, service, grpc_code=code)
            for code in CODES.values()
        }
        return {code: count for code, count in counts.items() if count}

    def exposition(self) -> list[str]:
        """Lines of the registry in OpenMetrics."""
        text: bytes = exposition.generate_latest(self.registry)  # type: ignore[no-untyped-call]  # the library left it bare
        return text.decode().splitlines()

    async def call(self, method: str, *requests: bytes, metadata: Metadata = ()) -> Outcome:
        """Send, half-close, read everything, and say how it ended."""
        return await self.finish(self.start(method, *requests, metadata=metadata))

    def start(
        self,
        method: str,
        *requests: bytes,
        timeout: float | None = None,
        metadata: Metadata = (),
    ) -> Any:  # noqa: ANN401 - one of four kinds of calls
        """Begin a call of whatever kind the method is."""
        channel: Any = self.channel
        make, given = {
            "unary": (channel.unary_unary, requests[:1]),
            "server_stream": (channel.unary_stream, requests[:1]),
            "client_stream": (channel.stream_unary, (iter(requests),)),
            "bidi_stream": (channel.stream_stream, (iter(requests),)),
        }[ALL_KINDS[method]]
        return make(f"/{SERVICE}/{method}")(*given, timeout=timeout, metadata=metadata)

    async def finish(self, call: Any) -> Outcome:  # noqa: ANN401 - one of four kinds of calls
        """Read what is left and say how the call ended."""
        if isinstance(call, grpc.aio.UnaryStreamCall | grpc.aio.StreamStreamCall):
            with suppress(grpc.aio.AioRpcError):
                async for _ in call:
                    pass
        return Outcome(await call.code(), list(await call.trailing_metadata() or ()))


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """A server with both interceptors and nothing else."""
    registry, echo = CollectorRegistry(), Echo()
    metrics = MetricsInterceptor(GrpcMetrics(registry), METHODS)
    server = grpc.aio.server(interceptors=[metrics, RequestIdInterceptor()])
    handlers = grpc.method_handlers_generic_handler(SERVICE, echo.handlers())
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Bench(echo, channel, registry)
    await server.stop(None)


@pytest.mark.parametrize(
    ("method", "requests", "received", "sent"),
    [
        ("Ask", 1, 1, 1),
        ("Listen", 1, 1, 2),
        ("ListenWriting", 1, 1, 2),
        ("Tell", 5, 5, 1),
        ("Tell", 0, 0, 1),
        ("Talk", 5, 5, 5),
        ("TalkWriting", 5, 5, 5),
        ("TalkWriting", 0, 0, 0),
    ],
)
async def test_each_message_is_counted(
    bench: Bench, method: str, requests: int, received: int, sent: int
) -> None:
    """Every message of every kind of RPC, in either style of handler, is counted once."""
    outcome = await bench.call(method, *[b"echo"] * requests)

    assert outcome.code is grpc.StatusCode.OK
    assert bench.count("started_total", method) == 1
    assert bench.count("msg_received_total", method) == received
    assert bench.count("msg_sent_total", method) == sent
    assert bench.outcomes(method) == {"OK": 1}
    assert bench.count("handling_seconds_count", method) == 1


@pytest.mark.parametrize("method", KINDS)
@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.value[0]])
async def test_every_abort_is_counted_under_its_code(
    bench: Bench, method: str, code: grpc.StatusCode
) -> None:
    """An aborted call is counted once, under Go's spelling, before the caller knows its status."""
    outcome = await bench.call(method, f"abort:{code.name}".encode())

    assert outcome.code is code
    assert bench.outcomes(method) == {CODES[code]: 1}


@pytest.mark.parametrize("method", ["Ask", "Tell"])
async def test_a_code_set_without_an_abort_is_counted(bench: Bench, method: str) -> None:
    """A handler that sets a code and returns is counted under it, and no response with it."""
    outcome = await bench.call(method, b"mark:NOT_FOUND")

    assert outcome.code is grpc.StatusCode.NOT_FOUND
    assert bench.outcomes(method) == {"NotFound": 1}
    assert bench.count("msg_sent_total", method) == 0


@pytest.mark.parametrize("method", KINDS)
async def test_an_exception_is_counted_as_unknown(bench: Bench, method: str) -> None:
    """A handler that raises is counted as what its caller sees."""
    outcome = await bench.call(method, b"fail:unseen")

    assert outcome.code is grpc.StatusCode.UNKNOWN
    assert bench.outcomes(method) == {"Unknown": 1}


@pytest.mark.parametrize("method", KINDS)
async def test_a_callers_cancellation_is_counted_as_canceled(bench: Bench, method: str) -> None:
    """A caller that hangs up is one Canceled, when its deadline is still far."""
    call = bench.start(method, b"wait", timeout=100)
    await bench.echo.waiting.get()
    call.cancel()
    await bench.echo.left.get()

    assert bench.outcomes(method) == {"Canceled": 1}


async def test_a_passed_deadline_is_counted_as_such(bench: Bench) -> None:
    """A call whose deadline passes is one DeadlineExceeded for the server as for its caller."""
    calls = [bench.start(method, b"wait", timeout=2) for method in KINDS]
    outcomes = await asyncio.gather(*map(bench.finish, calls))
    for _ in KINDS:
        await bench.echo.left.get()

    assert {outcome.code for outcome in outcomes} == {grpc.StatusCode.DEADLINE_EXCEEDED}
    for method in KINDS:
        assert bench.outcomes(method) == {"DeadlineExceeded": 1}


async def test_a_caller_that_stops_reading_is_counted_once(bench: Bench) -> None:
    """A handler that is blocked in a write when its caller hangs up is one Canceled."""
    call = bench.start(FLOOD, b"go")
    await bench.echo.waiting.get()
    call.cancel()
    await bench.echo.left.get()

    assert bench.outcomes(FLOOD) == {"Canceled": 1}


async def test_every_series_is_there_before_the_first_call(bench: Bench) -> None:
    """Each method has each code and each counter at 0, so that a first error is an increase."""
    for method in KINDS:
        assert bench.outcomes(method) == {}
        for name in ("started", "msg_received", "msg_sent"):
            assert bench.count(f"{name}_total", method) == 0
        assert bench.count("handling_seconds_count", method) == 0


async def test_unknown_methods_share_one_label_value(bench: Bench) -> None:
    """Callers cannot make series by calling methods that do not exist."""
    before = len(bench.exposition())
    channel: Any = bench.channel
    for number in range(50):
        call = channel.unary_unary(f"/no.such.Service{number}/Method{number}")(b"")
        assert await call.code() is grpc.StatusCode.UNIMPLEMENTED

    assert bench.outcomes("_other", "_other") == {"Unimplemented": 50}
    assert bench.count("started_total", "_other", "_other") == 50
    assert len(bench.exposition()) == before


async def test_a_handler_that_blocks_is_refused() -> None:
    """A synchronous handler, which grpc would run in a thread, is an error of the first call."""
    handler: Any = grpc.unary_unary_rpc_method_handler(lambda request, _: request)
    with pytest.raises(TypeError, match="is not async"):
        wrap(handler, unused)


async def unused(_inner: Behaviour, _request: object, _context: Context, /) -> object:
    """Stand in for a wrapper that is never run."""
    raise AssertionError


async def test_a_thousand_concurrent_calls_add_up(bench: Bench) -> None:
    """After 1,000 concurrent calls of all kinds and outcomes, server and callers agree."""
    orders = [b"echo", b"abort:INTERNAL", b"fail:unseen", b"abort:RESOURCE_EXHAUSTED"]
    plan = [(list(KINDS)[n % 6], orders[n % 4]) for n in range(1000)]
    outcomes = await asyncio.gather(*[bench.call(method, order) for method, order in plan])

    for method in KINDS:
        seen = [CODES[o.code] for (m, _), o in zip(plan, outcomes, strict=True) if m == method]
        assert bench.outcomes(method) == {code: seen.count(code) for code in set(seen)}
        assert bench.count("started_total", method) == len(seen)
        assert bench.count("handling_seconds_count", method) == len(seen)
        assert bench.count("msg_received_total", method) == len(seen)


async def test_an_exemplar_carries_the_callers_trace(bench: Bench) -> None:
    """OpenMetrics shows, beside a bucket, the trace id of a call that fell into it."""
    await bench.call("Ask", b"echo", metadata=(("traceparent", TRACEPARENT),))

    exemplars = [line for line in bench.exposition() if f'# {{trace_id="{TRACE}"}}' in line]
    names = {line.partition("{")[0] for line in exemplars}
    assert names == {"grpc_server_handling_seconds_bucket", "grpc_server_handled_total"}


@pytest.mark.parametrize("method", KINDS)
@pytest.mark.parametrize("order", [b"echo", b"abort:INTERNAL", b"fail:unseen"])
async def test_the_callers_request_id_comes_back(bench: Bench, method: str, order: bytes) -> None:
    """A caller's own request id is in its trailing metadata, once, whatever the outcome."""
    outcome = await bench.call(method, order, metadata=(("x-request-id", "mine/1"),))

    assert outcome.trailer("x-request-id") == ["mine/1"]
    assert bench.echo.correlations == [Correlation("mine/1", "")]


@pytest.mark.parametrize("given", ["", "two words", "x" * 129])
async def test_an_unfit_request_id_is_replaced(bench: Bench, given: str) -> None:
    """What is not 1 to 128 visible ASCII characters is dropped for a new id."""
    metadata = (("x-request-id", given),)
    first = await bench.call("Ask", b"echo", metadata=metadata)
    second = await bench.call("Ask", b"echo", metadata=metadata)

    (one,), (other,) = first.trailer("x-request-id"), second.trailer("x-request-id")
    assert len(one) == len(other) == 32
    assert one != other


async def test_a_handler_knows_its_trace(bench: Bench) -> None:
    """The trace id of a valid traceparent is with the call's task; concurrent ones do not mix."""
    plan: list[Metadata] = [
        (("traceparent", TRACEPARENT),),
        (("traceparent", "nonsense"),),
        (),
    ]
    await asyncio.gather(*[bench.call("Ask", b"echo", metadata=each) for each in plan])

    traces = sorted(each.trace_id for each in bench.echo.correlations)
    assert traces == ["", "", TRACE]
    assert len({each.request_id for each in bench.echo.correlations}) == 3
