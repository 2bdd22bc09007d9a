"""Counts every RPC as go-grpc-middleware does.

A call is counted as started when its handler starts, after a unary request has arrived, and its
outcome is counted before the status leaves, so that whoever has the answer finds it in the
metrics. What never reaches a handler (a message over the hard cap, a caller gone before its
request came) is not counted, as in Go; only an unknown method is, under `_other`.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, cast

import grpc

from khulasa_server.observability.grpc_metrics import Method
from khulasa_server.rpc.method_names import CODES, OTHER, kind_of
from khulasa_server.rpc.request_id import trace_id_in
from khulasa_server.rpc.wrapping import WrappedContext, WrappedRequests, wrap

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from typing import NoReturn

    from khulasa_server.observability.grpc_metrics import GrpcMetrics, MethodSeries
    from khulasa_server.rpc.wrapping import Behaviour, Context, Continuation, Handler, Metadata

_BY_NUMBER: Final = {code.value[0]: code for code in grpc.StatusCode}
_NEARLY_SHARE: Final = 0.01
_NEARLY_SECONDS: Final = 0.05


class MetricsInterceptor(grpc.aio.ServerInterceptor):
    """Counts calls; the outermost interceptor, so that refusals of others are counted too.

    Args:
        metrics: where to count.
        methods: what is served; all of their series exist from now on.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        metrics: GrpcMetrics,
        methods: Iterable[Method],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics = metrics
        self._clock = clock
        self._series = {
            f"/{method.service}/{method.name}": _series_of(metrics, method) for method in methods
        }
        self._unknown = _series_of(metrics, Method("unary", OTHER, OTHER))

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Count one call: when its handler runs, or at once if nothing serves it."""
        details = handler_call_details
        handler = await continuation(details)
        trace_id = trace_id_in(details.invocation_metadata)
        if handler is None:
            _Call(self._unknown, self._clock, trace_id).finish(grpc.StatusCode.UNIMPLEMENTED)
            return None
        return wrap(handler, self._counting(details.method, handler, trace_id))

    def _counting(self, path: str, handler: Handler, trace_id: str) -> _Counting:
        series = self._series.get(path)
        if series is None:
            kind = kind_of(
                request_streaming=handler.request_streaming,
                response_streaming=handler.response_streaming,
            )
            series = _series_of(self._metrics, Method(kind, OTHER, OTHER))
        return _Counting(handler, lambda: _Call(series, self._clock, trace_id))


def _series_of(metrics: GrpcMetrics, method: Method) -> MethodSeries:
    return metrics.series_of(method, tuple(CODES.values()))


class _Call:
    """One call from its start, which is counted here, to its only outcome."""

    def __init__(self, series: MethodSeries, clock: Callable[[], float], trace_id: str) -> None:
        self._series = series
        self._clock = clock
        self._exemplar = {"trace_id": trace_id} if trace_id else None
        self._start = clock()
        self._finished = False
        series.started.inc()

    def received(self) -> None:
        self._series.received.inc()

    def sent(self) -> None:
        self._series.sent.inc()

    def finish(self, code: grpc.StatusCode) -> None:
        """Count the outcome; what comes after the first is an echo of it."""
        if self._finished:
            return
        self._finished = True
        self._series.handled[CODES[code]].inc(exemplar=self._exemplar)
        self._series.seconds.observe(self._clock() - self._start, self._exemplar)


class _Counting:
    """Runs the behaviour of one handler and counts what passes."""

    def __init__(self, handler: Handler, start: Callable[[], _Call]) -> None:
        self._handler = handler
        self._start = start

    async def __call__(self, inner: Behaviour, request: object, context: Context, /) -> object:
        call = self._start()
        granted = context.time_remaining()
        counted = _CountedContext(context, call).as_context()
        try:
            response = await inner(self._counted_request(request, call), counted)
        except BaseException as error:
            call.finish(_outcome(error, context, granted))
            raise
        code = _code_set(context) or grpc.StatusCode.OK
        if code is grpc.StatusCode.OK and not self._handler.response_streaming:
            call.sent()
        call.finish(code)
        return response

    def _counted_request(self, request: object, call: _Call) -> object:
        if self._handler.request_streaming:
            return WrappedRequests(cast("AsyncIterator[object]", request), call.received)
        call.received()
        return request


class _CountedContext(WrappedContext):
    """Counts messages that a handler reads and writes itself, and the code it aborts with."""

    def __init__(self, inner: Context, call: _Call) -> None:
        super().__init__(inner)
        self._call = call

    async def read(self) -> object:
        message = await self._inner.read()
        if message is not grpc.aio.EOF:
            self._call.received()
        return message

    async def write(self, message: object) -> None:
        await self._inner.write(message)
        self._call.sent()

    async def abort(
        self,
        code: grpc.StatusCode,
        details: str = "",
        trailing_metadata: Metadata = (),
    ) -> NoReturn:
        # The status leaves inside of abort: counting afterwards would be seen too late.
        self._call.finish(code)
        await self._inner.abort(code, details, trailing_metadata)


def _outcome(error: BaseException, context: Context, granted: float | None) -> grpc.StatusCode:
    """The code that the caller of a call that raised sees, or would see if it were still there."""
    if isinstance(error, (asyncio.CancelledError, grpc.aio.InternalError)):
        late = granted is not None and context.time_remaining() <= _nearly(granted)
        return grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
    return _code_set(context) or grpc.StatusCode.UNKNOWN


def _nearly(granted: float) -> float:
    """Seconds before a deadline from which on a caller's reset means the deadline.

    At its deadline a caller resets the stream. Its clock started before ours, by the way here,
    and the `grpc-timeout` header is rounded up, by at most 1 %.
    """
    return min(granted / 2, _NEARLY_SECONDS + _NEARLY_SHARE * granted)


def _code_set(context: Context) -> grpc.StatusCode | None:
    """What a handler set or aborted with, if anything but OK."""
    code: grpc.StatusCode | int | None = context.code()
    if isinstance(code, int):
        code = _BY_NUMBER.get(code, grpc.StatusCode.UNKNOWN)
    return None if code is grpc.StatusCode.OK else code
