"""The errors a caller can cause or see, without a word about gRPC.

Every room raises these; `rpc` holds the one table that turns them into a status. `metadata`
repeats everything in the message that varies, so that no caller has to parse a sentence.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class Reason(StrEnum):
    """The machine-readable reason of a refusal: `ErrorInfo.reason` on the wire."""

    TEXT_EMPTY = "TEXT_EMPTY"
    TEXT_INVALID = "TEXT_INVALID"
    TEXT_TOO_LONG = "TEXT_TOO_LONG"
    REQUEST_TOO_LONG = "REQUEST_TOO_LONG"
    TOO_MANY_CONTENTS = "TOO_MANY_CONTENTS"
    OPTION_INVALID = "OPTION_INVALID"
    MESSAGE_INVALID = "MESSAGE_INVALID"
    LANGUAGE_UNSUPPORTED = "LANGUAGE_UNSUPPORTED"
    LANGUAGE_MISMATCH = "LANGUAGE_MISMATCH"
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    MODEL_AMBIGUOUS = "MODEL_AMBIGUOUS"
    OVERLOADED = "OVERLOADED"
    RATE_LIMITED = "RATE_LIMITED"
    CONCURRENCY_LIMITED = "CONCURRENCY_LIMITED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    DEADLINE_UNREACHABLE = "DEADLINE_UNREACHABLE"
    NOT_READY = "NOT_READY"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    ENGINE_FAILED = "ENGINE_FAILED"
    TOKEN_INVALID = "TOKEN_INVALID"  # noqa: S105 - the name of an error, not a secret
    INTERNAL = "INTERNAL"


class ServiceError(Exception):
    """Something a caller is told.

    Args:
        reason: why, for machines.
        message: why, for people; names the field, the limit and the actual value.
        field: path of the request field at fault, e.g. `contents[3]`; empty where none is.
        metadata: everything in `message` that varies.
        retry_after: seconds until the same request would be admitted; None: do not retry.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        field: str = "",
        metadata: dict[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.field = field
        self.metadata = metadata or {}
        self.retry_after = retry_after


class InvalidRequestError(ServiceError):
    """The request can never succeed as it is."""


class NotFoundError(ServiceError):
    """What the request names does not exist here."""


class OverloadedError(ServiceError):
    """The request is legal and there is no room for it now."""


class DeadlineError(ServiceError):
    """The answer cannot be, or was not, ready before the caller's deadline."""


class UnavailableError(ServiceError):
    """The service cannot answer now; the same request may succeed later."""


class UnauthenticatedError(ServiceError):
    """The caller did not prove who it is."""


class InternalError(ServiceError):
    """A defect. Its message stays in the log; callers see a constant sentence."""

    PUBLIC_MESSAGE: ClassVar[str] = "Internal error; the server's log has the request id."
