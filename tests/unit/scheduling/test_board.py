"""The one place in which submissions are settled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from khulasa_server.engines.base import GenerationOptions
from khulasa_server.scheduling import Priority
from khulasa_server.scheduling.board import Board
from khulasa_server.scheduling.cache import OutputCache
from khulasa_server.scheduling.items import Cancelled, Request, Waiter
from khulasa_server.scheduling.observer import SilentObserver
from khulasa_server.scheduling.types import Submission

if TYPE_CHECKING:
    from khulasa_server.scheduling.items import Outcome


def test_a_submission_is_settled_once() -> None:
    """Telling a second outcome is a defect: it raises, and nobody hears of it or counts it."""
    told: list[Outcome] = []
    board = Board(OutputCache(0), SilentObserver())
    request = Request(Priority.INTERACTIVE, 10.0, code_points={})
    waiter = Waiter(request, Submission("m", ("a",), GenerationOptions()), 0.0, told.append)
    board.settle(waiter, Cancelled.CANCELLED, "cancelled")
    with pytest.raises(RuntimeError, match=r"^a submission is settled once$"):
        board.settle(waiter, Cancelled.CANCELLED, "cancelled")
    assert told == [Cancelled.CANCELLED]
    assert board.settled == {"cancelled": 1}
    assert not request.whole
