"""What is kept about one model."""

from __future__ import annotations

import math

from khulasa_server.scheduling.lane import Health, Lane
from khulasa_server.scheduling.types import ModelProfile, SchedulerSettings


def test_backoff_doubles_up_to_a_minute() -> None:
    """1, 2, 4 … 60 seconds, counted from each failure; success starts over."""
    lane = Lane("m", ModelProfile("d", "t"), SchedulerSettings())
    assert (lane.health, lane.rebuild_at) == (Health.UP, math.inf)
    waits = []
    for _ in range(9):
        lane.fall(100.0)
        assert lane.health is Health.DOWN
        waits.append(lane.rebuild_at - 100.0)
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    lane.rise()
    assert (lane.health, lane.rebuild_at, lane.attempts) == (Health.UP, math.inf, 0)
    lane.fall(7.0)
    assert lane.rebuild_at == 8.0


def test_backoff_survives_a_year_of_failures() -> None:
    """The power does not overflow."""
    lane = Lane("m", ModelProfile("d", "t"), SchedulerSettings())
    lane.attempts = 500_000
    assert lane.backoff == 60.0
