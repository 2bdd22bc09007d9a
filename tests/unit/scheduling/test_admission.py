"""Who is admitted, who is refused, and when the refused may come back."""

from __future__ import annotations

import random

import pytest

from khulasa_server.errors import DeadlineError, OverloadedError, Reason
from khulasa_server.scheduling.admission import Admission, Need
from khulasa_server.scheduling.ledger import Claim, Ledger
from khulasa_server.scheduling.types import Priority, SchedulerSettings

INTERACTIVE, BULK = Priority.INTERACTIVE, Priority.BULK
NOW = 100.0
CAUTION = 1.6
"""Waits are expected 1.6 times as long as computed, before anything was learned."""


class Middle(random.Random):
    """No jitter."""

    def uniform(self, a: float, b: float) -> float:
        """The middle."""
        return (a + b) / 2


def admission(
    *claims: Claim, rng: random.Random | None = None, slots: int = 2, queue: float = 10.0
) -> Admission:
    """Two slots, ten seconds of queue, sixty of bulk queue, a tenth for bulk."""
    ledger = Ledger()
    for claim in claims:
        ledger.place(claim)
    settings = SchedulerSettings(slots=slots, queue_seconds=queue, batch_seconds=1.0)
    return Admission(ledger, settings, rng or Middle())


def claim(seconds: float, *, due: float = 1_000.0, priority: Priority = INTERACTIVE) -> Claim:
    """Work that is promised."""
    return Claim("m", priority, NOW + due, seconds)


def check(
    desk: Admission,
    seconds: float = 1.0,
    *,
    alone: float | None = None,
    within: float = 1_000.0,
    priority: Priority = INTERACTIVE,
    running: float = 0.0,
) -> float:
    """Ask for `seconds` of work, to be done within so many."""
    need = Need({"m": seconds}, seconds if alone is None else alone)
    return desk.check(need, priority, NOW + within, NOW, running).wait


def refusal(desk: Admission, seconds: float = 1.0, **kwargs: float) -> OverloadedError:
    """The refusal of such work."""
    with pytest.raises(OverloadedError) as caught:
        check(desk, seconds, **kwargs)  # type: ignore[arg-type]
    return caught.value


def test_an_idle_server_admits_what_the_deadline_allows() -> None:
    """However large, up to the very second that it needs."""
    assert check(admission(), 500.0, within=500.0) == 0.0


def test_what_no_idle_server_could_finish_is_never_admitted() -> None:
    """The refusal names the seconds needed and no time to come back."""
    with pytest.raises(DeadlineError) as caught:
        check(admission(), 3.0, alone=2.5, within=2.499)
    assert caught.value.reason is Reason.DEADLINE_UNREACHABLE
    assert caught.value.metadata == {"needed_seconds": "2.500"}
    assert "2.500 s" in caught.value.message
    assert caught.value.retry_after is None


def test_the_queue_may_be_as_long_as_its_limit() -> None:
    """Twenty engine seconds on two slots are ten; the newcomer's own do not count."""
    assert check(admission(claim(20.0)), 100.0) == 10.0


def test_a_longer_queue_refuses_and_says_for_how_long() -> None:
    """Two engine seconds too many are one second on two slots."""
    error = refusal(admission(claim(22.0)))
    assert error.reason is Reason.OVERLOADED
    assert error.retry_after == pytest.approx(1.0)
    assert error.metadata == {"retry_after_seconds": "1.000"}
    assert "1.000 s" in error.message


def test_bulk_has_a_limit_of_its_own() -> None:
    """Sixty seconds of bulk do not count against ten of interactive, nor the other way."""
    full_of_bulk = admission(claim(121.0, priority=BULK))
    assert refusal(full_of_bulk, priority=BULK).retry_after == pytest.approx(0.5)
    check(full_of_bulk)
    full = admission(claim(22.0))
    check(full, priority=BULK)
    check(admission(claim(120.0, priority=BULK)), priority=BULK)


def test_a_request_behind_its_elders_must_still_be_in_time() -> None:
    """4 s of work due before it on 2 slots, cautiously 3.2 s, and 1 s of its own: 4.2 s."""
    desk = admission(claim(4.0, due=1.0))
    assert check(desk, 1.0, within=4.2 + 1e-9) == 2.0
    assert refusal(desk, 1.0, within=4.1).retry_after == pytest.approx(0.1)


def test_running_batches_are_waited_for() -> None:
    """2 s of running work on 2 slots, cautiously 1.6 s, and 1 s of its own."""
    assert check(admission(), 1.0, within=2.6 + 1e-9, running=2.0) == 1.0
    assert refusal(admission(), 1.0, within=2.5, running=2.0).retry_after == pytest.approx(0.1)


def test_a_short_item_rides_in_the_batches_around_it() -> None:
    """10 ms of work among 4 s of others takes the second of a full batch; among 1 s, half."""
    desk = admission(claim(4.0, due=1.0))
    check(desk, 0.01, within=3.2 + 1.0 + 1e-9)
    assert refusal(desk, 0.01, within=4.0).retry_after == pytest.approx(0.2)
    desk = admission(claim(1.0, due=1.0))
    check(desk, 0.01, within=0.8 + 0.5 + 1e-9)
    refusal(desk, 0.01, within=1.2)


def test_work_due_later_is_not_waited_for_but_must_not_be_made_late() -> None:
    """5 s due in 10 s leave room for 7.5 s of more urgent work, and not for more."""
    desk = admission(claim(5.0, due=10.0))
    assert check(desk, 7.5, alone=1.0, within=2.0) == 0.0
    late = refusal(desk, 8.0, alone=1.0, within=2.0)
    assert late.retry_after == pytest.approx(CAUTION * 13.0 / 2 - 10.0)


def test_every_later_deadline_counts() -> None:
    """The tightest of those behind decides, with all that is due by then."""
    desk = admission(claim(1.0, due=50.0), claim(5.0, due=10.0), claim(1.0, due=20.0))
    refusal(desk, 8.0, alone=1.0, within=2.0)
    check(desk, 7.5, alone=1.0, within=2.0)


def test_deadlines_in_one_step_are_shared() -> None:
    """Work due at the same time is waited for."""
    desk = admission(claim(4.0, due=5.0))
    assert check(desk, 0.5, alone=0.5, within=5.05) == 2.0


def test_waiting_bulk_keeps_its_share_of_the_slots() -> None:
    """With bulk waiting, 1.8 of 2 slots are left: 3.6 s take two, cautiously 3.2 s."""
    desk = admission(claim(3.6, due=1.0), claim(1.0, priority=BULK))
    assert check(desk, 1.0, within=4.2 + 1e-9) == pytest.approx(2.0)
    refusal(desk, 1.0, within=4.1)


def test_bulk_waits_for_all_interactive_work() -> None:
    """Whatever its deadline: 4 s on 2 slots."""
    desk = admission(claim(4.0, due=900.0))
    assert check(desk, 1.0, priority=BULK) == 2.0
    assert check(desk, 1.0, within=4.2 + 1e-9, priority=BULK) == 2.0
    refusal(desk, 1.0, within=4.1, priority=BULK)
    assert check(desk, 1.0) == 2.0
    assert check(desk, 1.0, within=100.0) == 0.0


def test_the_refused_come_back_spread_over_a_fifth_to_either_side() -> None:
    """Two hundred refusals of one second: between 0.8 and 1.2 s, and not all the same."""
    desk = admission(claim(22.0), rng=random.Random(3))  # noqa: S311 - repeatable jitter
    waits = [refusal(desk).retry_after or 0.0 for _ in range(200)]
    assert 0.8 <= min(waits) < 0.85
    assert 1.15 < max(waits) <= 1.2


def test_nobody_is_told_to_come_back_at_once() -> None:
    """At least ten milliseconds, or the same call would knock again and again."""
    assert refusal(admission(claim(20.0 + 1e-6))).retry_after == 0.01


def test_waits_are_learned() -> None:
    """Where requests wait three times as long as computed, a third of the work is let in."""
    desk = admission(claim(4.0, due=1.0))
    for _ in range(300):
        desk.observe_wait(1.0, 3.0)
    check(desk, 1.0, within=7.0 + 1e-9)
    assert refusal(desk, 1.0, within=6.9).retry_after == pytest.approx(0.1)


def test_extreme_waits_count_as_three_times_the_expected() -> None:
    """An engine that hung for a minute does not close the door for good."""
    desk = admission(claim(4.0, due=1.0))
    for _ in range(300):
        desk.observe_wait(0.2, 60.0)
    check(desk, 1.0, within=7.0 + 1e-9)


def test_short_waits_teach_nothing() -> None:
    """Ratios of milliseconds are noise."""
    desk = admission(claim(4.0, due=1.0))
    for _ in range(300):
        desk.observe_wait(0.199, 1.0)
    check(desk, 1.0, within=4.2 + 1e-9)


def test_stays_are_learned() -> None:
    """Where requests take three times as long from their start, the last start is the earlier."""
    desk = admission(claim(4.0, due=1.0))
    check(desk, 1.0, within=4.2 + 1e-9)
    for _ in range(300):
        desk.observe_stay(1.0, 3.0)
    check(desk, 1.0, within=6.2 + 1e-9)
    assert refusal(desk, 1.0, within=6.1).retry_after == pytest.approx(0.1)


def test_stays_that_tell_little_teach_little() -> None:
    """Milliseconds are noise, a minute counts as three times the expected, 0 s expects nothing."""
    desk = admission(claim(4.0, due=1.0))
    for _ in range(300):
        desk.observe_stay(0.01, 0.19)
        desk.observe_stay(0.0, 60.0)
    check(desk, 1.0, within=4.2 + 1e-9)
    for _ in range(300):
        desk.observe_stay(1.0, 60.0)
    check(desk, 1.0, within=6.2 + 1e-9)


def test_a_need_sums_its_models() -> None:
    """Engine seconds of all models count."""
    assert Need({"a": 1.0, "b": 2.5}, 0.5).total == 3.5


def test_waits_are_compared_with_what_was_expected() -> None:
    """Six seconds instead of two are three times as long; 0.2 s is long enough to count."""
    for expected, seconds in ((2.0, 6.0), (0.2, 0.6)):
        desk = admission(claim(4.0, due=1.0))
        for _ in range(300):
            desk.observe_wait(expected, seconds)
        check(desk, 1.0, within=7.0 + 1e-9)
        refusal(desk, 1.0, within=6.9)
