"""Exceptions in the log: everything but what they quote."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khulasa_server.observability.faults import Fault, describe

PRIVATE = "نص سري لا يجوز تسجيله"


class OwnError(Exception):
    """Its messages are ours."""


def caught(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """The same exception after it was raised, with a traceback."""
    try:
        raise error from cause  # noqa: TRY301 - being raised is what gives it a traceback
    except BaseException as raised:  # noqa: BLE001 - any kind is under test
        return raised


def text_of(fault: Fault) -> str:
    """All that would be written."""
    return json.dumps(fault, ensure_ascii=False)


@pytest.mark.parametrize(
    "error",
    [
        ValueError(PRIVATE),
        KeyError(PRIVATE),
        UnicodeDecodeError("utf-8", PRIVATE.encode(), 0, 1, PRIVATE),
        OwnError(PRIVATE),
        ExceptionGroup(PRIVATE, [ValueError(PRIVATE), KeyError(PRIVATE)]),
    ],
)
def test_messages_stay_out(error: BaseException) -> None:
    """No message of an exception, its cause or its members is written; types and places are."""
    error.add_note(PRIVATE)
    fault = describe(caught(error, cause=caught(LookupError(PRIVATE))))

    assert "سري" not in text_of(fault)
    assert str(fault["type"]).endswith(type(error).__name__)
    assert "test_faults.py" in text_of(fault)
    assert isinstance(fault["cause"], dict)
    assert fault["cause"]["type"] == "LookupError"


def test_own_messages_are_kept_and_bounded() -> None:
    """The sentence of an exception of ours is written, up to 300 code points."""
    assert describe(caught(OwnError("said so")), (OwnError,))["message"] == "said so"
    assert len(str(describe(OwnError("x" * 5000), (OwnError,))["message"])) == 300


def test_a_suppressed_context_is_not_told() -> None:
    """`raise … from None` holds in the log as it does in a traceback."""
    error = ValueError("outer")
    error.__context__, error.__suppress_context__ = KeyError("inner"), True
    assert "cause" not in describe(error)


@given(st.integers(1, 60))
def test_long_chains_are_cut(length: int) -> None:
    """A chain of any length becomes a line of bounded size."""
    error: BaseException = ValueError(0)
    for number in range(length):
        error = caught(ValueError(number), cause=error)
    assert text_of(describe(error)).count('"type"') <= 5


def test_deep_recursion_is_cut() -> None:
    """Of a thousand frames the innermost 24 are kept."""

    def fall(depth: int) -> None:
        if depth:
            fall(depth - 1)
        raise ValueError

    with pytest.raises(ValueError, match=r"^$") as failed:
        fall(300)
    frames = describe(failed.value)["frames"]
    assert isinstance(frames, list)
    assert len(frames) == 24
    assert "fall" in frames[-1]
