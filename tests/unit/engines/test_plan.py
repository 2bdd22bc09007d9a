"""The setting of threads, and what it turns into."""

from __future__ import annotations

import pytest

from khulasa_server.engines.plan import plan_threads


@pytest.mark.parametrize("cores", [1, 2, 7])
def test_auto_is_one_thread_for_each_core(cores: int) -> None:
    """It says that it may find better, and why it begins so."""
    plan = plan_threads("auto", cores)
    assert (plan.workers, plan.threads, plan.slots, plan.chosen) == (cores, 1, cores, True)
    assert "usable core" in plan.reason


@pytest.mark.parametrize(
    ("setting", "workers", "threads"),
    [("2x1", 2, 1), ("1x2", 1, 2), ("1x1", 1, 1), ("4x1!", 4, 1), ("2x2!", 2, 2)],
)
def test_a_setting_is_taken_as_it_is(setting: str, workers: int, threads: int) -> None:
    """Even more threads than cores, if somebody insists."""
    plan = plan_threads(setting, 2)
    assert (plan.workers, plan.threads) == (workers, threads)
    assert plan.slots == workers * threads
    assert str(plan) == setting.rstrip("!")
    assert (plan.chosen, plan.reason) == (False, f"KHULASA_THREADS={setting}")


@pytest.mark.parametrize("setting", ["3x1", "1x3", "2x2"])
def test_more_threads_than_cores_are_refused(setting: str) -> None:
    """The sentence says how many there are, and how to insist."""
    with pytest.raises(ValueError, match=rf"on 2 usable cores .* '{setting}!' to insist"):
        plan_threads(setting, 2)


@pytest.mark.parametrize("setting", ["", "2", "0x1", "2x", "x2", "2×1", "2x1!!", "auto!"])
def test_anything_else_is_refused(setting: str) -> None:
    """The sentence names the setting and shows what it may be."""
    with pytest.raises(ValueError, match=r"KHULASA_THREADS .* must be 'auto' or like '2x1'"):
        plan_threads(setting, 8)
