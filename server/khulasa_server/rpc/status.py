"""The one table from exceptions to gRPC statuses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from khulasa_server.errors import (
    DeadlineError,
    InternalError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    Reason,
    ServiceError,
    UnauthenticatedError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

DOMAIN: Final = "khulasa"
PUSHBACK_TRAILER: Final = "grpc-retry-pushback-ms"
"""What channels obey: they ignore RetryInfo (gRFC A6)."""
NO_RETRY: Final = -1
"""In place of milliseconds: do not try again."""
REQUEST_ID: Final = "x-request-id"

CODES: Final[dict[type[ServiceError], grpc.StatusCode]] = {
    InvalidRequestError: grpc.StatusCode.INVALID_ARGUMENT,
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    OverloadedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    DeadlineError: grpc.StatusCode.DEADLINE_EXCEEDED,
    UnavailableError: grpc.StatusCode.UNAVAILABLE,
    UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    InternalError: grpc.StatusCode.INTERNAL,
}

MAX_MESSAGE_BYTES: Final = 600
MAX_VALUE_BYTES: Final = 400
"""Of what callers sent, names too, errors repeat so much: trailing metadata beyond 8 KiB may be,
and beyond 16 KiB is, replaced by a RESOURCE_EXHAUSTED of gRPC's own. The message is in it three
times, once with three bytes for each that is not ASCII."""

Metadata = tuple[tuple[str, str | bytes], ...]


class Failure(NamedTuple):
    """How a call ends: what `context.abort` takes."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: Metadata


def as_service_error(error: Exception) -> ServiceError:
    """The same error for callers: a defect loses its message, which may hold anything."""
    if isinstance(error, ServiceError) and not isinstance(error, InternalError):
        return error
    return InternalError(Reason.INTERNAL, InternalError.PUBLIC_MESSAGE)


def to_status(error: Exception, request_id: str = "") -> status_pb2.Status:
    """`google.rpc.Status` of any exception, each kind of detail at most once (AIP-193)."""
    fault = as_service_error(error)
    code = next(CODES[kind] for kind in type(fault).__mro__ if kind in CODES)
    message = _shortened(fault.message, MAX_MESSAGE_BYTES)
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in _details(fault, request_id):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def to_failure(error: Exception, request_id: str, patience: float = math.inf) -> Failure:
    """Code, message and trailing metadata with which a call ends.

    Args:
        error: what was raised.
        request_id: of the call.
        patience: seconds beyond which a retry is no use. A channel told to wait longer would do
            so until its deadline, and its caller would not learn why.
    """
    rich = rpc_status.to_status(to_status(error, request_id))
    trailers: list[tuple[str, str | bytes]] = [*rich.trailing_metadata, (REQUEST_ID, request_id)]
    retry_after = as_service_error(error).retry_after
    if retry_after is not None:
        pushback = math.ceil(retry_after * 1000) if retry_after <= patience else NO_RETRY
        trailers.append((PUSHBACK_TRAILER, str(pushback)))
    return Failure(rich.code, rich.details, tuple(trailers))


def _details(fault: ServiceError, request_id: str) -> Iterator[Message]:
    metadata = {key: _shortened(value, MAX_VALUE_BYTES) for key, value in fault.metadata.items()}
    yield error_details_pb2.ErrorInfo(reason=fault.reason.value, domain=DOMAIN, metadata=metadata)
    if fault.field:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=fault.field,
            description=_shortened(fault.message, MAX_MESSAGE_BYTES),
            reason=fault.reason.value,
        )
        yield error_details_pb2.BadRequest(field_violations=[violation])
    if fault.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(fault.retry_after * 1e9))
        yield retry
    if request_id:
        yield error_details_pb2.RequestInfo(request_id=request_id)


def _shortened(text: str, most: int) -> str:
    """`text`, or as much of it as fits in `most` bytes of UTF-8 with an ellipsis."""
    data = text.encode()
    if len(data) <= most:
        return text
    return data[: most - len("…".encode())].decode("utf-8", "ignore") + "…"
