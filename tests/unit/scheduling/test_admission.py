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
"""Delays are expected 1.6 times as long as computed, before anything was learned."""


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
    """Ask for `seconds` of work, to be done within so many; the delay that is expected of it."""
    need = Need({"m": seconds}, seconds if alone is None else alone)
    return desk.check(need, priority, NOW + within, NOW, running).delay


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
    """Twenty engine seconds on two slots are ten, and one of a full batch; its own do not count."""
    assert check(admission(claim(20.0)), 100.0) == 11.0


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
    """4 s of work due before it on 2 slots, and a second in a full batch: cautiously 4.8 s."""
    desk = admission(claim(4.0, due=1.0))
    assert check(desk, 1.0, within=4.8 + 1e-9) == 3.0
    assert refusal(desk, 1.0, within=4.7).retry_after == pytest.approx(0.1)


def test_running_batches_are_waited_for() -> None:
    """2 s of running work on 2 slots, and a second in a full batch: cautiously 3.2 s."""
    assert check(admission(), 1.0, within=3.2 + 1e-9, running=2.0) == 2.0
    assert refusal(admission(), 1.0, within=3.1, running=2.0).retry_after == pytest.approx(0.1)


def test_a_short_item_rides_in_the_batches_around_it() -> None:
    """10 ms of work among 4 s of others takes the second of a full batch; among 1 s, half."""
    desk = admission(claim(4.0, due=1.0))
    check(desk, 0.01, within=CAUTION * 3.0 + 1e-9)
    assert refusal(desk, 0.01, within=4.7).retry_after == pytest.approx(0.1)
    desk = admission(claim(1.0, due=1.0))
    check(desk, 0.01, within=CAUTION * 1.0 + 1e-9)
    refusal(desk, 0.01, within=1.5)


def test_a_long_item_needs_what_no_batch_around_it_takes() -> None:
    """3 s of work, 1 s of them in a full batch: 2 s more, which are not doubted again.

    Short ones have no worse chances: long ones alone were let in once, at five times the load.
    """
    desk = admission(claim(4.0, due=1.0))
    check(desk, 3.0, within=CAUTION * 3.0 + 2.0 + 1e-9)
    assert refusal(desk, 3.0, within=6.7).retry_after == pytest.approx(0.1)
    for seconds in (0.01, 0.5, 1.0):
        check(desk, seconds, within=4.8 + 1e-9)
        refusal(desk, seconds, within=4.7)


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
    """Work due at the same time is waited for, and a second in a full batch."""
    desk = admission(claim(4.0, due=5.0))
    assert check(desk, 0.5, alone=0.5, within=5.05) == 3.0


def test_waiting_bulk_keeps_its_share_of_the_slots() -> None:
    """With bulk waiting, 1.8 of 2 slots are left: 3.6 s take two, and a full batch one."""
    desk = admission(claim(3.6, due=1.0), claim(1.0, priority=BULK))
    assert check(desk, 1.0, within=4.8 + 1e-9) == pytest.approx(3.0)
    refusal(desk, 1.0, within=4.7)


def test_bulk_waits_for_all_interactive_work() -> None:
    """Whatever its deadline: 4 s on 2 slots, and a second in a full batch."""
    desk = admission(claim(4.0, due=900.0))
    assert check(desk, 1.0, priority=BULK) == 3.0
    assert check(desk, 1.0, within=4.8 + 1e-9, priority=BULK) == 3.0
    refusal(desk, 1.0, within=4.7, priority=BULK)
    assert check(desk, 1.0) == 3.0
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


def learned(*delays: tuple[float, float, float]) -> Admission:
    """Two seconds of others' work are promised; 256 such delays were observed, in turn."""
    desk = admission(claim(4.0, due=1.0))
    for number in range(256):
        desk.observe_delay(*delays[number % len(delays)])
    return desk


def test_delays_are_learned() -> None:
    """Where requests are delayed three times as long as expected, a third of the work is let in."""
    desk = learned((1.0, 3.0, 2.0))
    check(desk, 1.0, within=9.0 + 1e-9)
    assert refusal(desk, 1.0, within=8.9).retry_after == pytest.approx(0.1)


def test_shorter_delays_let_more_in() -> None:
    """Half of what was expected; and one that took less than it needs for itself counts as none."""
    check(learned((1.0, 0.5, 2.0)), 1.0, within=1.5 + 1e-9)
    refusal(learned((1.0, 0.5, 2.0)), 1.0, within=1.4)
    check(learned((1.0, -0.5, 2.0)), 1.0, within=1.0)


def test_extreme_delays_count_as_three_times_the_expected() -> None:
    """An engine that hung for a minute does not close the door for good."""
    check(learned((0.2, 60.0, 0.8)), 1.0, within=9.0 + 1e-9)


def test_delays_are_compared_with_what_was_expected() -> None:
    """Six seconds instead of two are three times as long; 0.2 s is long enough to count."""
    for expected, seconds in ((2.0, 6.0), (0.2, 0.6)):
        desk = learned((expected, seconds, 0.5))
        check(desk, 1.0, within=9.0 + 1e-9)
        refusal(desk, 1.0, within=8.9)


@pytest.mark.parametrize(("expected", "given"), [(0.199, 0.1), (1.0, 4.01)])
def test_delays_that_tell_little_teach_nothing(expected: float, given: float) -> None:
    """Ratios of milliseconds are noise, and with minutes to go a short delay is nobody's harm.

    A load without hurry taught that requests take three times as long, and half were refused.
    """
    desk = learned((expected, 3.0, given))
    check(desk, 1.0, within=4.8 + 1e-9)
    refusal(desk, 1.0, within=4.7)
    refusal(learned((1.0, 3.0, 4.0)), 1.0, within=8.9)


def test_a_promise_holds_for_all_but_one_in_a_hundred() -> None:
    """Of 256 delays two were three times as long, or three."""
    for slow, longest in ((2, 3.0), (3, 9.0)):
        desk = admission(claim(4.0, due=1.0))
        for number in range(256):
            desk.observe_delay(1.0, 3.0 if number < slow else 1.0, 2.0)
        check(desk, 1.0, within=longest + 1e-9)
        refusal(desk, 1.0, within=longest - 0.1)


def test_a_need_sums_its_models() -> None:
    """Engine seconds of all models count."""
    assert Need({"a": 1.0, "b": 2.5}, 0.5).total == 3.5
