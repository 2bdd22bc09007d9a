"""Work on an engine that is no segment of a request: a replacement's golden outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from khulasa_server.scheduling.arbiter import Turn
from khulasa_server.scheduling.board import not_ready
from khulasa_server.scheduling.types import Priority
from khulasa_server.scheduling.work import Errand

if TYPE_CHECKING:
    from collections.abc import Callable

    from khulasa_server.engines.base import Engine
    from khulasa_server.errors import ServiceError
    from khulasa_server.scheduling.board import Board
    from khulasa_server.scheduling.lane import Lane

PATIENCE_SECONDS: Final = 60.0
"""An errand stands among bulk items as one with so much time left."""


class Errands:
    """Keeps errands until it is their turn.

    Args:
        board: where the lanes are.
    """

    def __init__(self, board: Board) -> None:
        self._board = board

    def add(
        self,
        model: str,
        action: Callable[[Engine], object],
        deliver: Callable[[object], None],
        now: float,
    ) -> Errand:
        """Let an errand wait for its turn.

        Raises:
            UnavailableError: the model is not there.
        """
        lane = self._board.lanes.get(model)
        if lane is None or lane.leaving:
            raise not_ready(model)
        errand = Errand(model, action, deliver, now + PATIENCE_SECONDS, lane.threads)
        lane.errands.append(errand)
        return errand

    def forget(self, errand: Errand) -> None:
        """Take an errand back; one that runs goes on, and nobody is told."""
        lane = self._board.lanes.get(errand.model)
        if lane is not None and errand in lane.errands:
            lane.errands.remove(errand)

    def turn(self, lane: Lane) -> Turn | None:
        """What the first errand of a lane waits for."""
        if not lane.errands:
            return None
        return Turn(lane.name, Priority.BULK, lane.errands[0].deadline)

    def take(self, lane: Lane) -> Errand:
        """Start the first errand of a lane."""
        lane.running += 1
        return lane.errands.popleft()

    def ended(self, errand: Errand) -> None:
        """Note that an errand runs no more."""
        self._board.lanes[errand.model].running -= 1

    def refuse(self, lane: Lane, error: Callable[[], ServiceError]) -> None:
        """Tell everyone who waits for an errand of a lane that it will not run."""
        while lane.errands:
            lane.errands.popleft().deliver(error())
