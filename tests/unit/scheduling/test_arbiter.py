"""The one set of slots over all models."""

from __future__ import annotations

import pytest

from khulasa_server.scheduling.arbiter import Arbiter, Turn
from khulasa_server.scheduling.types import Priority

INTERACTIVE = Turn("a", Priority.INTERACTIVE, 20.0)
URGENT = Turn("b", Priority.INTERACTIVE, 10.0)
BULK = Turn("a", Priority.BULK, 1.0)


def test_slots_are_counted() -> None:
    """As many as there are, and none is given back that was not taken."""
    arbiter = Arbiter(2, 0.1, 0.5)
    assert (arbiter.slots, arbiter.free, arbiter.running) == (2, 2, 0)
    arbiter.take()
    arbiter.take()
    assert (arbiter.free, arbiter.running) == (0, 2)
    with pytest.raises(RuntimeError, match="1 slots are wanted and 0 are free"):
        arbiter.take()
    arbiter.give_back()
    arbiter.give_back()
    with pytest.raises(RuntimeError, match="1 slots are given back and 0 are taken"):
        arbiter.give_back()
    assert arbiter.free == 2


def test_a_machine_has_a_slot() -> None:
    """None at all would wait for ever."""
    with pytest.raises(ValueError, match="not 0"):
        Arbiter(0, 0.1, 0.5)
    assert Arbiter(1, 0.1, 0.5).free == 1


def test_the_earliest_deadline_goes_first_over_all_models() -> None:
    """Whichever model it belongs to."""
    arbiter = Arbiter(1, 0.1, 0.5)
    assert arbiter.choose([INTERACTIVE, URGENT]) is URGENT
    assert arbiter.choose([URGENT, INTERACTIVE]) is URGENT
    assert arbiter.choose([]) is None


def test_bulk_yields_to_interactive_work() -> None:
    """However early its deadline; alone it runs."""
    arbiter = Arbiter(1, 0.1, 0.5)
    assert arbiter.choose([BULK, INTERACTIVE]) is INTERACTIVE
    assert arbiter.choose([BULK]) is BULK


def test_bulk_has_its_turn_when_it_has_saved_for_it() -> None:
    """A tenth of the time: 4.5 s of interactive work pay for half a second of bulk."""
    arbiter = Arbiter(1, 0.1, 0.5)
    both = [BULK, INTERACTIVE]
    arbiter.charge(INTERACTIVE, 4.4, both)
    assert arbiter.choose(both) is INTERACTIVE
    arbiter.charge(INTERACTIVE, 0.2, both)
    assert arbiter.choose(both) is BULK
    arbiter.charge(BULK, 0.5, both)
    assert arbiter.choose(both) is INTERACTIVE


def test_a_bulk_batch_costs_what_it_takes() -> None:
    """A short one leaves the rest of the savings for the next."""
    arbiter = Arbiter(1, 0.1, 0.5)
    both = [BULK, INTERACTIVE]
    arbiter.charge(INTERACTIVE, 5.4, both)
    arbiter.charge(BULK, 0.09, both)
    assert arbiter.choose(both) is BULK
    arbiter.charge(BULK, 0.02, both)
    assert arbiter.choose(both) is INTERACTIVE
    arbiter.charge(INTERACTIVE, 0.1, both)
    assert arbiter.choose(both) is BULK


def test_a_long_bulk_batch_leaves_no_debt_to_interactive_work() -> None:
    """The debt falls to 0 and not below."""
    arbiter = Arbiter(1, 0.1, 0.5)
    both = [BULK, INTERACTIVE]
    arbiter.charge(BULK, 100.0, both)
    arbiter.charge(INTERACTIVE, 4.5 + 1e-9, both)
    assert arbiter.choose(both) is BULK


@pytest.mark.parametrize("waiting", [[BULK], [INTERACTIVE]])
def test_nothing_is_saved_while_only_one_kind_waits(waiting: list[Turn]) -> None:
    """Bulk that runs undisturbed, or does not wait, has no claim left."""
    arbiter = Arbiter(1, 0.1, 0.5)
    both = [BULK, INTERACTIVE]
    arbiter.charge(INTERACTIVE, 100.0, both)
    arbiter.charge(waiting[0], 0.1, waiting)
    assert arbiter.choose(both) is INTERACTIVE


def test_bulk_gets_its_share_in_the_long_run() -> None:
    """With both always waiting, a tenth of the engine's time is bulk's."""
    arbiter = Arbiter(1, 0.1, 0.5)
    both = [BULK, INTERACTIVE]
    spent = dict.fromkeys(Priority, 0.0)
    for _ in range(2_000):
        turn = arbiter.choose(both)
        assert turn is not None
        seconds = 0.2 if turn is BULK else 0.3
        spent[turn.priority] += seconds
        arbiter.charge(turn, seconds, both)
    assert spent[Priority.BULK] / sum(spent.values()) == pytest.approx(0.1, abs=0.002)


def test_the_price_may_be_paid_exactly() -> None:
    """Half the time: half a second of interactive work pays for half a second of bulk."""
    arbiter = Arbiter(1, 0.5, 0.5)
    both = [BULK, INTERACTIVE]
    arbiter.charge(INTERACTIVE, 0.5, both)
    assert arbiter.choose(both) is BULK
