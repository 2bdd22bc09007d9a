"""Which request a line of log, a status or an exemplar belongs to."""

from __future__ import annotations

import re
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

_TRACEPARENT: Final = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-[0-9a-f]{2}(?P<rest>-.*)?"
)


@dataclass(frozen=True, slots=True)
class Correlation:
    """Names that tie what one request leaves behind together.

    Args:
        request_id: 1 to 128 visible ASCII characters; empty outside of a request.
        trace_id: 32 lower-case hexadecimal digits; empty where the caller sent no trace.
    """

    request_id: str = ""
    trace_id: str = ""


_NOTHING: Final = Correlation()
_CURRENT: Final = ContextVar("khulasa_correlation", default=_NOTHING)


def current() -> Correlation:
    """The request that the running task works for."""
    return _CURRENT.get()


def correlate(correlation: Correlation) -> None:
    """Tie the running task, and the tasks it starts from now on, to a request."""
    _CURRENT.set(correlation)


def trace_id_of(traceparent: str) -> str:
    """Trace id of a `traceparent` header (W3C Trace Context); empty where it is not valid."""
    if not traceparent:
        return ""
    match = _TRACEPARENT.fullmatch(traceparent.strip())
    if match is None or match["version"] == "ff" or (match["version"] == "00" and match["rest"]):
        return ""
    if not match["trace"].strip("0") or not match["parent"].strip("0"):
        return ""
    return match["trace"]
