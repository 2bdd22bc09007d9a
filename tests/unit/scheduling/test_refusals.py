"""What submissions are told that no engine worked on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from khulasa_server.errors import DeadlineError, Reason, UnavailableError
from khulasa_server.scheduling.board import (
    engine_failed,
    engine_hangs,
    hopeless,
    late,
    not_ready,
    shutting_down,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_missed_deadline_says_whether_it_had_passed() -> None:
    """Both are told from each other by their words; neither is worth another try."""
    told = [late(), hopeless()]
    assert [type(error) for error in told] == [DeadlineError] * 2
    assert [error.reason for error in told] == [Reason.DEADLINE_EXCEEDED] * 2
    assert [error.retry_after for error in told] == [None] * 2
    assert [error.message for error in told] == [
        "The deadline passed before the work could start.",
        "The work would have ended after the deadline; it was not begun.",
    ]


@pytest.mark.parametrize(
    ("make", "reason", "message", "metadata", "retry_after"),
    [
        (shutting_down, Reason.SHUTTING_DOWN, "The server is shutting down.", {}, 1.0),
        (
            lambda: engine_failed("m#2", 4.0),
            Reason.ENGINE_FAILED,
            "The engine of model m failed and is being rebuilt.",
            {"model": "m"},
            4.0,
        ),
        (
            lambda: engine_hangs("m#2", 8.0),
            Reason.ENGINE_FAILED,
            "The engine of model m does not answer.",
            {"model": "m"},
            8.0,
        ),
        (lambda: not_ready("m#2"), Reason.NOT_READY, "Model m is not loaded.", {"model": "m"}, 1.0),
    ],
    ids=["shutting down", "failed", "hangs", "not ready"],
)
def test_what_is_not_there_now_says_when_to_come_back(
    make: Callable[[], UnavailableError],
    reason: Reason,
    message: str,
    metadata: dict[str, str],
    retry_after: float,
) -> None:
    """With the model's own name, whatever its lane is called."""
    error = make()
    assert type(error) is UnavailableError
    assert (error.reason, error.message) == (reason, message)
    assert (dict(error.metadata), error.retry_after) == (metadata, retry_after)
