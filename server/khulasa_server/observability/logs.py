"""Structured logs: one JSON object a line on standard error, never a user's text.

Standard output is left to the one line that says where the server listens, so that whoever
starts the server reads it without sifting. Libraries that log through the standard library go
through the same pipeline.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import io
import json
import logging
import math
import secrets
import sys
import threading
from typing import TYPE_CHECKING, Final, TextIO, cast

import structlog

from khulasa_server.observability import correlation, faults

if TYPE_CHECKING:
    import asyncio
    from collections.abc import MutableMapping
    from types import TracebackType

    from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

    OwnErrors = tuple[type[BaseException], ...]

_KEY: Final = secrets.token_bytes(32)
_DIGEST_DIGITS: Final = 16
_FIRST: Final = ("time", "level", "logger", "event")
"""Keys that a person looks for at the start of a line."""
_MOST_CODE_POINTS: Final = 500
"""Of one value: a caller's name for a model can be as long as a message."""


def digest_of(text: str) -> str:
    """16 hexadecimal digits that tell equal texts apart from others.

    The key lives and dies with the process: nobody can confirm a guessed text from a log.
    """
    data = text.encode("utf-8", "surrogatepass")
    return hmac.new(_KEY, data, hashlib.sha256).hexdigest()[:_DIGEST_DIGITS]


def text_fields(text: str) -> dict[str, object]:
    """All that a log may say about a user's text: its code points and its digest."""
    return {"code_points": len(text), "digest": digest_of(text)}


def logger(name: str) -> FilteringBoundLogger:
    """The logger of a module; `name` is its `__name__`. It may be made before `configure`."""
    made: FilteringBoundLogger = structlog.get_logger(name)
    return made


def configure(
    level: str = "info", *, stream: TextIO | None = None, own_errors: OwnErrors = ()
) -> None:
    """Send everything this process logs to one place, in one form.

    Args:
        level: least severe level of our own lines; libraries speak from `warning` on.
        stream: where lines go; standard error where None.
        own_errors: exception types whose messages are sentences of ours, not of users.
    """
    least = logging.getLevelNamesMapping()[level.upper()]
    out = cast("TextIO", _Sink(stream or sys.stderr))
    shared = _shared_processors(own_errors)
    structlog.configure(
        processors=[*shared, _rendered],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=lambda name="": _NamedLogger(name, out),
        cache_logger_on_first_use=False,
    )
    _adopt_standard_library(out, max(least, logging.WARNING), shared)
    _adopt_uncaught()


def handle_loop_exception(
    _loop: asyncio.AbstractEventLoop, context: MutableMapping[str, object]
) -> None:
    """For `loop.set_exception_handler`: asyncio's own handler prints messages and task results."""
    error = context.get("exception")
    logger("asyncio").error(
        str(context.get("message", "unhandled exception in the event loop")),
        exc_info=error if isinstance(error, BaseException) else None,
    )


def _shared_processors(own_errors: OwnErrors) -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        _add_correlation,
        _add_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _ExceptionAsData(own_errors),
    ]


def _add_correlation(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    request = correlation.current()
    if request.request_id:
        event.setdefault("request_id", request.request_id)
    if request.trace_id:
        event.setdefault("trace_id", request.trace_id)
    return event


def _add_name(wrapped: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    record = event.get("_record")
    name = record.name if isinstance(record, logging.LogRecord) else getattr(wrapped, "name", "")
    return {**event, "logger": name} if name else event


class _NamedLogger(structlog.WriteLogger):
    """Writes lines and knows the name that `structlog.get_logger` was asked for."""

    def __init__(self, name: str, out: TextIO) -> None:
        super().__init__(out)
        self.name = name


class _ExceptionAsData:
    """Replaces `exc_info` by what `faults.describe` says of it."""

    def __init__(self, own_errors: OwnErrors) -> None:
        self._own_errors = own_errors

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        info = event.pop("exc_info", None)
        if info is True:
            info = sys.exc_info()
        error = info[1] if isinstance(info, tuple) else info
        if isinstance(error, BaseException):
            event["exception"] = faults.describe(error, self._own_errors)
        return event


def _rendered(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    # An object without a JSON form is named by its type, since its repr may hold a text.
    # Non-ASCII stays escaped: a viewer that reorders right-to-left text cannot garble a line.
    first = {key: event.pop(key) for key in _FIRST if key in event}
    tame = {key: _tame(value) for key, value in {**first, **event}.items()}
    return json.dumps(tame, default=lambda value: f"<{type(value).__qualname__}>")


def _tame(value: object) -> object:
    if isinstance(value, str) and len(value) > _MOST_CODE_POINTS:
        return f"{value[:_MOST_CODE_POINTS]}… ({len(value)} code points)"
    # JSON has no word for these; an infinite deadline must not make a line unreadable.
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


class _Sink(io.TextIOBase):
    """A stream whose reader may go away without failing the request that logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str, /) -> int:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


class _LineHandler(logging.StreamHandler[TextIO]):
    """A record that cannot be formatted costs a line that says so, not its arguments."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging names it
        logger(record.name).error("log record lost", module=record.module, line=record.lineno)


def _adopt_standard_library(out: TextIO, least: int, shared: list[Processor]) -> None:
    handler = _LineHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _rendered],
        )
    )
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(least)
    logging.captureWarnings(capture=True)


def _adopt_uncaught() -> None:
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread
    sys.unraisablehook = _log_unraisable


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logger("process").critical("uncaught exception", exc_info=error)


def _log_uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    name = arguments.thread.name if arguments.thread else ""
    logger("process").error(
        "uncaught exception in a thread", thread=name, exc_info=arguments.exc_value
    )


def _log_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    logger("process").error("exception ignored", exc_info=unraisable.exc_value)
