"""Every call has a request id: the caller's, or one made here.

It is in the log lines of the call, in its trailing metadata whatever the outcome, and in the
`RequestInfo` of its error. Behind `MetricsInterceptor`, in front of everything else.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Final

import grpc

from khulasa_server.observability.correlation import Correlation, correlate, trace_id_of
from khulasa_server.rpc.status import REQUEST_ID
from khulasa_server.rpc.wrapping import WrappedContext, wrap

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn

    from khulasa_server.rpc.wrapping import Behaviour, Context, Continuation, Handler, Metadata

    MetadataLike = Iterable[tuple[str, str | bytes]]

_ACCEPTED: Final = re.compile(r"[!-~]{1,128}")
_TRACEPARENT: Final = "traceparent"


class RequestIdInterceptor(grpc.aio.ServerInterceptor):
    """Gives each call its `Correlation` and returns the request id to the caller."""

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Run the handler as part of its request; what nothing serves stays as it is."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        correlation = correlation_in(handler_call_details.invocation_metadata)
        return wrap(handler, _Correlated(correlation))


def correlation_in(metadata: MetadataLike) -> Correlation:
    """Request id and trace id of a call that came with this metadata."""
    return Correlation(
        request_id=_accepted(_value_of(metadata, REQUEST_ID)) or uuid.uuid4().hex,
        trace_id=trace_id_in(metadata),
    )


def trace_id_in(metadata: MetadataLike) -> str:
    """Trace id that a caller sent as `traceparent`; empty where it sent none that is valid."""
    return trace_id_of(_value_of(metadata, _TRACEPARENT))


def _accepted(request_id: str) -> str:
    return request_id if _ACCEPTED.fullmatch(request_id) else ""


def _value_of(metadata: MetadataLike, key: str) -> str:
    value = next((value for name, value in metadata if name == key), "")
    return value if isinstance(value, str) else value.decode("ascii", "replace")


class _Correlated:
    """Runs a behaviour in a task that knows its request."""

    def __init__(self, correlation: Correlation) -> None:
        self._correlation = correlation

    async def __call__(self, inner: Behaviour, request: object, context: Context, /) -> object:
        correlate(self._correlation)
        wrapped = _IdentifiedContext(context, self._correlation.request_id)
        wrapped.set_trailing_metadata(())
        return await inner(request, wrapped.as_context())


class _IdentifiedContext(WrappedContext):
    """Adds the request id to whatever trailing metadata a handler sets or aborts with."""

    def __init__(self, inner: Context, request_id: str) -> None:
        super().__init__(inner)
        self._request_id = request_id

    def set_trailing_metadata(self, trailing_metadata: MetadataLike) -> None:
        self._inner.set_trailing_metadata(self._with_id(trailing_metadata))

    async def abort(
        self,
        code: grpc.StatusCode,
        details: str = "",
        trailing_metadata: MetadataLike = (),
    ) -> NoReturn:
        # grpc replaces what was set before by what abort is given; nothing given keeps it.
        trailers = self._with_id(trailing_metadata) if trailing_metadata else ()
        await self._inner.abort(code, details, trailers)

    def _with_id(self, metadata: MetadataLike) -> Metadata:
        others = tuple((key, value) for key, value in metadata if key != REQUEST_ID)
        return (*others, (REQUEST_ID, self._request_id))
