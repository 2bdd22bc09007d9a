"""Exceptions as data for the log: where and what kind, never what they say.

The message of an exception may quote a user's text (`KeyError`, `UnicodeDecodeError`, a failed
validation), so only messages of types that are known to be our own sentences are kept.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import TracebackType

Fault = dict[str, object]

_MOST_FRAMES: Final = 24
_MOST_CHAINED: Final = 4
_MOST_MESSAGE: Final = 300


def describe(error: BaseException, own: tuple[type[BaseException], ...] = ()) -> Fault:
    """Type, frames and causes of an exception.

    Args:
        error: what was raised.
        own: types whose message is a sentence of this program and may be kept.

    Returns:
        `type`, `frames` (innermost last, at most 24), and where they exist `message`, `cause`
        and, for a group, `errors`.
    """
    return _describe(error, own, _MOST_CHAINED)


def _describe(error: BaseException, own: tuple[type[BaseException], ...], depth: int) -> Fault:
    fault: Fault = {"type": _name(type(error)), "frames": _frames(error.__traceback__)}
    if isinstance(error, own):
        fault["message"] = str(error)[:_MOST_MESSAGE]
    cause = _cause(error)
    if cause is not None and depth > 0:
        fault["cause"] = _describe(cause, own, depth - 1)
    if isinstance(error, BaseExceptionGroup) and depth > 0:
        members = error.exceptions[:_MOST_CHAINED]
        fault["errors"] = [_describe(member, own, depth - 1) for member in members]
    return fault


def _cause(error: BaseException) -> BaseException | None:
    if error.__cause__ is not None:
        return error.__cause__
    return None if error.__suppress_context__ else error.__context__


def _name(kind: type[BaseException]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


def _frames(trace: TracebackType | None) -> list[str]:
    # Locals and source lines stay out: the first hold texts, the second are in the repository.
    frames = traceback.StackSummary.extract(traceback.walk_tb(trace), lookup_lines=False)
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-_MOST_FRAMES:]]
