"""From gRPC's failures to exceptions of this package."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from khulasa_client import errors

if TYPE_CHECKING:
    from collections.abc import Iterable

CLASSES: dict[str, type[errors.KhulasaError]] = {
    "INVALID_ARGUMENT": errors.InvalidRequestError,
    "FAILED_PRECONDITION": errors.InvalidRequestError,
    "OUT_OF_RANGE": errors.InvalidRequestError,
    "NOT_FOUND": errors.NotFoundError,
    "RESOURCE_EXHAUSTED": errors.OverloadedError,
    "ABORTED": errors.UnavailableError,
    "UNAVAILABLE": errors.UnavailableError,
    "DEADLINE_EXCEEDED": errors.DeadlineError,
    "UNAUTHENTICATED": errors.UnauthenticatedError,
    "PERMISSION_DENIED": errors.UnauthenticatedError,
    "UNIMPLEMENTED": errors.UnsupportedError,
    "CANCELLED": errors.CallCancelledError,
    "UNKNOWN": errors.InternalError,
    "INTERNAL": errors.InternalError,
    "DATA_LOSS": errors.InternalError,
}
REQUEST_ID = "x-request-id"
PUSHBACK = "grpc-retry-pushback-ms"
TOO_LARGE = "larger than max"
"""What gRPC says, on either side, of a message beyond its limit."""


class _Details(NamedTuple):
    info: error_details_pb2.ErrorInfo
    bad_request: error_details_pb2.BadRequest
    retry: error_details_pb2.RetryInfo | None
    request: error_details_pb2.RequestInfo


def from_status(status: status_pb2.Status, request_id: str = "") -> errors.KhulasaError:
    """The exception for a `google.rpc.Status`."""
    details = _details(status)
    code = _code_name(status.code)
    reason = details.info.reason
    kind = CLASSES.get(code, errors.InternalError)
    if code == "RESOURCE_EXHAUSTED" and not reason and TOO_LARGE in status.message:
        kind = errors.MessageTooLargeError
    return kind(
        status.message or "the server gave no reason",
        code=code,
        reason=reason,
        metadata=details.info.metadata,
        field_violations=tuple(
            errors.FieldViolation(violation.field, violation.description)
            for violation in details.bad_request.field_violations
        ),
        retry_after=_seconds(details.retry),
        request_id=details.request.request_id or request_id,
    )


def from_rpc_error(error: Any, request_id: str = "") -> errors.KhulasaError:  # noqa: ANN401 - calls differ between grpc and grpc.aio
    """The exception for a failed call.

    Args:
        error: what grpc or grpc.aio raised: code, details and trailing metadata.
        request_id: the id that the call was sent with.
    """
    trailers = {key: value for key, value in error.trailing_metadata() or ()}  # noqa: C416 - pairs are a type of their own
    request_id = str(trailers.get(REQUEST_ID, request_id))
    fault = from_status(_status(error), request_id)
    if fault.retry_after is None and str(trailers.get(PUSHBACK, "")).isdecimal():
        fault.retry_after = int(trailers[PUSHBACK]) / 1000
    return fault


def from_cancellation(request_id: str) -> errors.CallCancelledError:
    """The exception for a call of grpc.aio that was cancelled by closing the client.

    Raises:
        asyncio.CancelledError: it was the caller's task that was cancelled.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
    return errors.CallCancelledError(
        "the client was closed during the call", code="CANCELLED", request_id=request_id
    )


def _status(error: Any) -> status_pb2.Status:  # noqa: ANN401 - as above
    """The rich status, or a plain one where gRPC itself, or a proxy, answered."""
    code: grpc.StatusCode = error.code() or grpc.StatusCode.UNKNOWN
    plain = status_pb2.Status(code=code.value[0], message=error.details() or "")
    try:
        rich = rpc_status.from_call(error)
    except ValueError:  # its code or message contradicts the call's
        return plain
    return plain if rich is None else rich


def _details(status: status_pb2.Status) -> _Details:
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    retry, request = error_details_pb2.RetryInfo(), error_details_pb2.RequestInfo()
    found = {id(part) for part in _unpack(status.details, (info, bad, retry, request))}
    return _Details(info, bad, retry if id(retry) in found else None, request)


def _unpack(details: Iterable[Any], parts: tuple[Any, ...]) -> list[Any]:
    """Fill the parts that the details hold; returns those."""
    return [part for detail in details for part in parts if detail.Unpack(part)]


def _code_name(number: int) -> str:
    names = {code.value[0]: code.name for code in grpc.StatusCode}
    return names.get(number, "UNKNOWN")


def _seconds(retry: error_details_pb2.RetryInfo | None) -> float | None:
    if retry is None:
        return None
    return float(retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9)
