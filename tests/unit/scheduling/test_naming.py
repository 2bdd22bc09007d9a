"""Lanes of one model have names of their own, and the model has one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from khulasa_server.errors import Reason
from khulasa_server.scheduling import Drop, Priority
from khulasa_server.scheduling.naming import model_of, successor_of
from khulasa_server.scheduling.observer import BatchReport, NamingObserver
from khulasa_server.scheduling.types import CacheResult

if TYPE_CHECKING:
    from tests.unit.scheduling.conftest import Recorder


def test_every_replacement_has_a_lane_of_its_own() -> None:
    """Numbers count from the second on, and never hide the model's name."""
    lanes = ["demo-mt5"]
    for _ in range(3):
        lanes.append(successor_of(lanes[-1]))
    assert lanes == ["demo-mt5", "demo-mt5#2", "demo-mt5#3", "demo-mt5#4"]
    assert {model_of(lane) for lane in lanes} == {"demo-mt5"}


def test_whoever_measures_hears_the_models_name(make_recorder: type[Recorder]) -> None:
    """Of every event, and everything else about it as it was told."""
    told = make_recorder()
    naming = NamingObserver(told)
    report = BatchReport("m#2", 1, 2, 3, 4, 0.5, 0.6)
    naming.batch(report)
    naming.waited("m#2", Priority.BULK, 0.5)
    naming.dropped("m#2", Priority.BULK, Drop.EXPIRED)
    naming.rejected("m#2", Priority.BULK, Reason.OVERLOADED)
    naming.cache("m#2", CacheResult.HIT)
    naming.rebuilt("m#2", succeeded=True)
    assert told.batches == [BatchReport("m", 1, 2, 3, 4, 0.5, 0.6)]
    assert told.waits == [("m", Priority.BULK, 0.5)]
    assert told.drops == [("m", Priority.BULK, Drop.EXPIRED)]
    assert told.rejections == [("m", Priority.BULK, Reason.OVERLOADED)]
    assert told.cached == [("m", CacheResult.HIT)]
    assert told.rebuilds == [("m", True)]
