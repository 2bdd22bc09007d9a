"""Every exception has one status, and callers learn from it all they need and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from khulasa_server import errors
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
from khulasa_server.rpc.status import CODES, to_failure, to_status

if TYPE_CHECKING:
    from google.protobuf.any_pb2 import Any
    from google.protobuf.message import Message

SECRET: Final = "a user's text"  # noqa: S105 - stands for a text
SOFT_LIMIT: Final = 8 * 1024
"""Of all trailing metadata: beyond it gRPC may refuse the call by itself."""


def unpacked(status: status_pb2.Status) -> dict[str, Message]:
    """Details by the name of their type."""
    kinds: tuple[type[Message], ...] = (
        error_details_pb2.ErrorInfo,
        error_details_pb2.BadRequest,
        error_details_pb2.RetryInfo,
        error_details_pb2.RequestInfo,
    )
    found: dict[str, Message] = {}
    for detail in status.details:
        for kind in kinds:
            message = kind()
            if _unpack(detail, message):
                assert kind.__name__ not in found, "each kind of detail at most once"
                found[kind.__name__] = message
    assert len(found) == len(status.details)
    return found


def _unpack(detail: Any, message: Message) -> bool:
    return detail.Unpack(message)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (InvalidRequestError, grpc.StatusCode.INVALID_ARGUMENT),
        (NotFoundError, grpc.StatusCode.NOT_FOUND),
        (OverloadedError, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (DeadlineError, grpc.StatusCode.DEADLINE_EXCEEDED),
        (UnavailableError, grpc.StatusCode.UNAVAILABLE),
        (UnauthenticatedError, grpc.StatusCode.UNAUTHENTICATED),
        (InternalError, grpc.StatusCode.INTERNAL),
    ],
)
def test_each_kind_of_error_has_its_code(kind: type[ServiceError], code: grpc.StatusCode) -> None:
    """The one table, and a subclass has the code of what it is."""
    status = to_status(kind(Reason.NOT_READY, "said"))
    assert status.code == code.value[0]

    class Narrower(kind):  # type: ignore[misc, valid-type]  # made of a parameter
        """A more special case."""

    assert to_status(Narrower(Reason.NOT_READY, "said")).code == code.value[0]


def test_no_kind_of_error_is_left_out() -> None:
    """A class that is added to the errors and not to the table is a failed test."""
    kinds = {
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, ServiceError) and each is not ServiceError
    }
    assert kinds == set(CODES)


@pytest.mark.parametrize(
    "error", [InternalError(Reason.INTERNAL, SECRET), KeyError(SECRET), ValueError(SECRET)]
)
def test_a_defect_keeps_its_message_to_itself(error: Exception) -> None:
    """Whatever it was, callers see a constant sentence and the reason INTERNAL."""
    failure = to_failure(error, "id")
    assert failure.code is grpc.StatusCode.INTERNAL
    assert failure.details == InternalError.PUBLIC_MESSAGE
    assert SECRET not in repr(failure)
    status = to_status(error, "id")
    assert status.message == InternalError.PUBLIC_MESSAGE
    info = unpacked(status)["ErrorInfo"]
    assert info == error_details_pb2.ErrorInfo(reason="INTERNAL", domain="khulasa")


def test_all_details_are_there() -> None:
    """Reason and metadata, the field, when to retry, and which request it was."""
    error = OverloadedError(
        Reason.OVERLOADED, "later", field="contents[3]", metadata={"a": "1"}, retry_after=1.25
    )
    details = unpacked(to_status(error, "mine/1"))
    assert details["ErrorInfo"] == error_details_pb2.ErrorInfo(
        reason="OVERLOADED", domain="khulasa", metadata={"a": "1"}
    )
    bad = details["BadRequest"]
    assert isinstance(bad, error_details_pb2.BadRequest)
    (violation,) = bad.field_violations
    assert (violation.field, violation.description) == ("contents[3]", "later")
    retry = details["RetryInfo"]
    assert isinstance(retry, error_details_pb2.RetryInfo)
    assert (retry.retry_delay.seconds, retry.retry_delay.nanos) == (1, 250_000_000)
    assert details["RequestInfo"] == error_details_pb2.RequestInfo(request_id="mine/1")


def test_what_is_not_known_is_left_out() -> None:
    """Without a field, a time or an id there is only the reason."""
    assert set(unpacked(to_status(NotFoundError(Reason.MODEL_NOT_FOUND, "none")))) == {"ErrorInfo"}


@pytest.mark.parametrize(
    ("seconds", "milliseconds"), [(0.0, "0"), (0.0001, "1"), (0.2, "200"), (2.0, "2000")]
)
def test_a_channel_is_told_when_to_retry(seconds: float, milliseconds: str) -> None:
    """The trailer that channels obey says what RetryInfo says, never sooner."""
    error = UnavailableError(Reason.NOT_READY, "later", retry_after=seconds)
    trailers = dict(to_failure(error, "id").trailing_metadata)
    assert trailers["grpc-retry-pushback-ms"] == milliseconds
    assert trailers["x-request-id"] == "id"


def test_an_error_that_is_not_worth_a_retry_says_nothing_of_it() -> None:
    """No trailer: the channel decides by the code alone."""
    trailers = dict(to_failure(InvalidRequestError(Reason.TEXT_EMPTY, "empty"), "id")[2])
    assert "grpc-retry-pushback-ms" not in trailers


def test_the_status_is_in_the_trailing_metadata() -> None:
    """As `google.rpc.Status`, with the code and the message of the call itself."""
    failure = to_failure(NotFoundError(Reason.MODEL_NOT_FOUND, "no model"), "id")
    status = status_pb2.Status()
    packed = dict(failure.trailing_metadata)["grpc-status-details-bin"]
    assert isinstance(packed, bytes)
    status.ParseFromString(packed)
    assert (status.code, status.message) == (failure.code.value[0], failure.details)


LONG = st.builds(
    lambda letter, count: letter * count, st.sampled_from("aم中😀"), st.integers(0, 100_000)
)


@given(message=LONG, values=st.lists(LONG, max_size=4), retry=st.none() | st.floats(0, 1e6))
def test_an_error_fits_into_metadata(message: str, values: list[str], retry: float | None) -> None:
    """However long what a caller sent, the status arrives instead of gRPC's own refusal."""
    metadata = {f"key{number}": value for number, value in enumerate(values)}
    error = NotFoundError(
        Reason.MODEL_NOT_FOUND, message, field="model", metadata=metadata, retry_after=retry
    )
    failure = to_failure(error, "i" * 128)
    escaped = sum(1 if 32 <= byte < 127 else 3 for byte in failure.details.encode())
    size = escaped + sum(
        len(key) + (len(value) if isinstance(value, str) else len(value) * 4 // 3) + 32
        for key, value in failure.trailing_metadata
    )
    assert size < SOFT_LIMIT


@given(message=st.text(max_size=600))
def test_a_message_of_ordinary_length_is_whole(message: str) -> None:
    """Nothing is taken from a sentence that fits; a cut one says so by its ellipsis."""
    said = to_status(NotFoundError(Reason.MODEL_NOT_FOUND, message)).message
    if len(message.encode()) <= 600:
        assert said == message
    else:
        assert said.endswith("…")
        assert message.startswith(said[:-1])
        assert len(said.encode()) <= 600
