"""Everything that can go wrong, as exceptions that carry why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A field of the request that is at fault: its path, e.g. `contents[3]`, and why."""

    field: str
    description: str


class KhulasaError(Exception):
    """A call that did not succeed.

    Args:
        message: why, in a sentence.
        code: name of the gRPC status code, e.g. `INVALID_ARGUMENT`; empty where no call was made.
        reason: why, for machines, e.g. `TEXT_TOO_LONG`; empty where gRPC itself failed.
        metadata: everything in the message that varies, e.g. `limit` and `actual`.
        field_violations: the fields of the request that are at fault.
        retry_after: seconds after which the same request would be admitted; None: not known.
        request_id: name of the call in the server's log.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        field_violations: tuple[FieldViolation, ...] = (),
        retry_after: float | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.field_violations = field_violations
        self.retry_after = retry_after
        self.request_id = request_id

    def __str__(self) -> str:
        name = self.reason or self.code
        return f"{name}: {self.message}" if name else self.message


class ConfigurationError(KhulasaError, ValueError):
    """The client cannot be made, or used, like this; nothing was sent."""


class InvalidRequestError(KhulasaError):
    """The request can never succeed as it is."""


class MessageTooLargeError(InvalidRequestError):
    """A message is larger than allowed; `limit` and `actual`, in bytes, are in the metadata."""


class NotFoundError(KhulasaError):
    """What the request names does not exist on this server."""


class OverloadedError(KhulasaError):
    """The request is legal and there is no room for it now; `retry_after` says when."""


class DeadlineError(KhulasaError):
    """The answer was not, or could not be, ready before the deadline."""


class UnavailableError(KhulasaError):
    """The server cannot be reached, or cannot answer now."""


class UnauthenticatedError(KhulasaError):
    """The token is missing, wrong, or does not allow this."""


class UnsupportedError(KhulasaError):
    """The server does not know the method: it is older than this client, or another service."""


class CallCancelledError(KhulasaError):
    """The call was cancelled, by the server or because the client was closed."""


class InternalError(KhulasaError):
    """A defect of the server; its log has the request id."""


class IncompleteStreamError(KhulasaError):
    """A streamed translation ended without its summary: what was received is not all."""
