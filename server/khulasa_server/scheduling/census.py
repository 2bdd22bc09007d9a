"""State of every model at one moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from khulasa_server.scheduling.lane import Health
from khulasa_server.scheduling.naming import model_of
from khulasa_server.scheduling.types import LaneStatistics, Priority

if TYPE_CHECKING:
    from collections.abc import Collection

    from khulasa_server.scheduling.board import Board
    from khulasa_server.scheduling.items import Request
    from khulasa_server.scheduling.lane import Lane


def take_census(
    board: Board, requests: Collection[Request], slots: int
) -> dict[str, LaneStatistics]:
    """State by model; while one is being replaced, both of its lanes together.

    Args:
        board: where the lanes are.
        requests: admitted and not released.
        slots: batches that run at once.
    """
    by_model: dict[str, list[Lane]] = {}
    for lane in board.lanes.values():
        by_model.setdefault(model_of(lane.name), []).append(lane)
    return {model: _state(board, lanes, requests, slots) for model, lanes in by_model.items()}


def _state(
    board: Board, lanes: list[Lane], requests: Collection[Request], slots: int
) -> LaneStatistics:
    names = {lane.name for lane in lanes}
    cost = lanes[0].estimator.cost  # the older one has learned more
    return LaneStatistics(
        depth={priority: sum(lane.depth(priority) for lane in lanes) for priority in Priority},
        estimated_seconds={
            priority: sum(board.ledger.seconds(priority, name) for name in names) / slots
            for priority in Priority
        },
        requests=sum(not names.isdisjoint(request.code_points) for request in requests),
        running=sum(lane.running for lane in lanes),
        threads=lanes[-1].threads,
        lone_threads=lanes[-1].lone.threads if lanes[-1].lone else 0,
        serving=any(lane.health is not Health.DOWN for lane in lanes),
        coefficients=cost.coefficients,
        cost_error_ratio=cost.error_ratio,
    )
