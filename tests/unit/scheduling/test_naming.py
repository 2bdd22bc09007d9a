"""Lanes of one model have names of their own, and the model has one."""

from __future__ import annotations

from khulasa_server.scheduling.naming import model_of, successor_of


def test_every_replacement_has_a_lane_of_its_own() -> None:
    """Numbers count from the second on, and never hide the model's name."""
    lanes = ["demo-mt5"]
    for _ in range(3):
        lanes.append(successor_of(lanes[-1]))
    assert lanes == ["demo-mt5", "demo-mt5#2", "demo-mt5#3", "demo-mt5#4"]
    assert {model_of(lane) for lane in lanes} == {"demo-mt5"}
