"""One of two replicas goes while callers use both."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from tests.faults.servers import replica, until
from tests.faults.traffic import traffic

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.traffic import Traffic

BEFORE: Final = 300
AFTER: Final = 300
METHODS: Final = {
    "translate": "Translate",
    "stream": "StreamTranslate",
    "summarize": "Summarize",
}


def strike(callers: Traffic, fault: Callable[[], object]) -> None:
    """Let a fault happen in the midst of the traffic, and the traffic go on."""
    until(lambda: callers.answered() >= BEFORE, 60, "the first answers")
    fault()
    reached = callers.answered()
    until(lambda: callers.answered() >= reached + AFTER, 90, "answers after the fault")


def test_sigterm_under_load_fails_no_request() -> None:
    """Zero failed, each answer the right one, and both sides have counted the same."""
    handled: Counter[str] = Counter()
    with replica() as first, replica() as second:
        with traffic(first.grpc, second.grpc) as callers:
            strike(callers, lambda: handled.update(first.end()))
        handled.update(second.end())
    callers.history.check_nothing_failed()
    answered = {method: callers.history.answered(method) for method in METHODS}
    assert answered == {method: handled[f"{name} OK"] for method, name in METHODS.items()}
    assert min(answered.values()) > 0


def test_a_killed_replica_loses_and_doubles_nothing() -> None:
    """SIGKILL: what was in flight there is answered by the other one, once."""
    with replica() as first, replica() as second:
        with traffic(first.grpc, second.grpc) as callers:
            strike(callers, first.kill)
        second.end()
    callers.history.check_nothing_failed()


def test_the_only_server_is_replaced() -> None:
    """Bulk items and calls that were refused meanwhile are answered by the new one."""
    with replica() as old, traffic(old.grpc) as callers:
        until(lambda: callers.answered() >= BEFORE, 60, "the first answers")
        old.process.terminate()
        assert old.process.wait(60) == 0
        with replica(listen=old.grpc) as new:
            reached = callers.answered()
            until(lambda: callers.answered() >= reached + AFTER, 90, "answers of the new one")
            callers.stop()
            new.end()
    bulk = [event for event in callers.history.events if event.request.startswith("bulk-")]
    assert bulk
    assert [event for event in bulk if event.outcome != "answered"] == []
    callers.history.check()
