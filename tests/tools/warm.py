"""A pytest plugin that decides mutants: tests are collected once, each mutant is a fork of that.

What counts is what a mutant does, not how busy the machine is: a test may take CPU seconds and
idle seconds, and neither grows while it waits for a core or is stopped. Mutants come in the order
of a hash of their names, so that those decided so far are a sample of all.

    KHULASA_MUTANTS=plan.json python -m pytest -p warm …
"""

from __future__ import annotations

import ctypes
import gc
import hashlib
import json
import math
import os
import resource
import select
import signal
import struct
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import pytest
from hypothesis import HealthCheck, Phase, settings

if TYPE_CHECKING:
    from collections.abc import Sequence

KILLED: Final = 1
SURVIVED: Final = 0
TIMED_OUT: Final = 36
UNTESTED: Final = 33
"""As mutmut numbers them."""
SECONDS: Final = 3.0
TIMES: Final = 10.0
"""A test may take so many seconds, and so many times what it usually takes."""
TRIES: Final = 3
"""Tests with timers may fail on a machine that stands still."""
MOST_HANGS: Final = 3
"""Tests that a mutant may hang in before it is given up; another may fail."""
LOOK: Final = 0.05
"""Seconds between two looks at a mutant that says nothing."""
MEMORY: Final = 4 * 2**30
EXAMPLES: Final = 30
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PR_SET_PDEATHSIG: Final = 1
"""Linux: a signal for the child when its parent is gone."""
_NUMBER: Final = struct.Struct("<Id")

# Nothing is shrunk or remembered, and no example is judged by the clock.
settings.register_profile(
    "mutation",
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("mutation")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    """Decide what the plan asks for instead of running the tests once."""
    plan = Plan.read()
    gc.freeze()
    Decider(session, plan).run()
    return True


class Plan:
    """What is to be decided, and what was.

    Args:
        path: of a JSON object: `mutants` maps names to the names of tests, `minutes` is the most
            that this may take, `results` is where verdicts go, one JSON line each.
    """

    def __init__(self, path: Path) -> None:
        plan = json.loads(path.read_text("utf-8"))
        self.mutants: dict[str, list[str]] = plan["mutants"]
        self.seconds: float = 60 * plan["minutes"]
        self.results = Path(plan["results"])

    @classmethod
    def read(cls) -> Self:
        """The plan that the environment names."""
        return cls(Path(os.environ["KHULASA_MUTANTS"]))

    def order(self) -> list[str]:
        """Names of all mutants, in an order that has nothing to do with them."""
        return sorted(self.mutants, key=lambda name: hashlib.sha256(name.encode()).digest())

    def note(self, mutant: str, code: int, test: str) -> None:
        """Keep a verdict."""
        line = json.dumps({"mutant": mutant, "code": code, "test": test})
        with self.results.open("a", encoding="utf-8") as results:
            results.write(line + "\n")


class Verdict(NamedTuple):
    """What became of a mutant, and the test that decided it."""

    code: int
    test: str


class Decider:
    """Runs the tests of one mutant after the other.

    Args:
        session: with all tests collected.
        plan: what to decide.
    """

    def __init__(self, session: pytest.Session, plan: Plan) -> None:
        self._session = session
        self._plan = plan
        self._items = {item.nodeid: item for item in session.items}
        self._usual: dict[str, float] = {}
        self._kills: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def run(self) -> None:
        """Decide mutants until all are, or time is over."""
        began = time.monotonic()
        self._learn()
        for mutant in self._plan.order():
            if time.monotonic() - began > self._plan.seconds:
                return
            tests = [name for name in self._plan.mutants[mutant] if name in self._items]
            code, test = self.decide(mutant, tests) if tests else Verdict(UNTESTED, "")
            self._plan.note(mutant, code, test)

    def _learn(self) -> None:
        """Run every test without a mutant, and see that a mutant which always raises is noticed."""
        items = list(self._items.values())
        for _ in range(TRIES):
            clean = Attempt(self._session, "", items, {}).run()
            if clean.code == SURVIVED:
                break
        else:
            raise pytest.UsageError(f"{clean.test} fails without any mutant ({clean.code})")
        self._usual = clean.seconds
        if Attempt(self._session, "fail", items, {}).run().code != KILLED:
            raise pytest.UsageError("a mutant that always raises is not noticed")

    def decide(self, mutant: str, tests: Sequence[str]) -> Verdict:
        """What becomes of a mutant, and the test that decided it."""
        function = mutant.rpartition("__mutmut_")[0]
        left, hung = self._sorted(function, tests), ""
        for _ in range(MOST_HANGS):
            ended = self._attempt(mutant, left)
            if ended.code != TIMED_OUT:
                self._kills[function][ended.test] += ended.code == KILLED
                return Verdict(TIMED_OUT, hung) if hung and ended.code == SURVIVED else ended
            hung = ended.test
            left = left[[item.nodeid for item in left].index(hung) + 1 :]
        return Verdict(TIMED_OUT, hung)

    def _attempt(self, mutant: str, left: Sequence[pytest.Item]) -> Verdict:
        """What becomes of a mutant in some tests; one that fails a test but once is not noticed."""
        while left:
            ended = Attempt(self._session, mutant, left, self._usual).run()
            if ended.code != KILLED or self._noticed_again(mutant, ended.test):
                return Verdict(ended.code, ended.test)
            left = left[[item.nodeid for item in left].index(ended.test) + 1 :]
        return Verdict(SURVIVED, "")

    def _noticed_again(self, mutant: str, test: str) -> bool:
        """Whether a test fails twice; those with threads and timers may fail for other reasons."""
        if "/driver/" not in test:
            return True
        again = Attempt(self._session, mutant, [self._items[test]], self._usual).run()
        return again.code == KILLED

    def _sorted(self, function: str, tests: Sequence[str]) -> list[pytest.Item]:
        """Those first that noticed other changes of the function, and the quick ones."""
        kills = self._kills[function]
        names = sorted(tests, key=lambda name: self._usual.get(name, 1.0) / (1 + 10 * kills[name]))
        return [self._items[name] for name in names]


class Attempt:
    """One fork of this process, with one mutant in it.

    Args:
        session: with all tests collected.
        mutant: its name; empty: none.
        items: tests to run, in their order, until one fails.
        usual: CPU and idle seconds that tests take; empty: any.
    """

    def __init__(
        self,
        session: pytest.Session,
        mutant: str,
        items: Sequence[pytest.Item],
        usual: dict[str, float],
    ) -> None:
        self._session = session
        self._mutant = mutant
        self._items = items
        self._usual = usual
        self._current = 0
        self.code = SURVIVED
        self.seconds: dict[str, float] = {}

    @property
    def test(self) -> str:
        """The test that decided, or the last one."""
        return self._items[self._current].nodeid

    def run(self) -> Self:
        """Fork, and wait for what becomes of it."""
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            self._run_tests(writing)
        os.close(writing)
        try:
            stopped = self._watch(child, reading)
        finally:
            os.close(reading)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        self.code = TIMED_OUT if stopped or status == -signal.SIGPROF else status
        return self

    def _run_tests(self, writing: int) -> None:
        """In the fork: run tests until one fails; never returns."""
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.environ["MUTANT_UNDER_TEST"] = self._mutant
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        nowhere = os.open(os.devnull, os.O_WRONLY)
        sys.stdout.flush()
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        for number, item in enumerate(self._items):
            began = time.monotonic()
            signal.setitimer(signal.ITIMER_PROF, self._limit(item.nodeid))
            following = self._items[number + 1] if number + 1 < len(self._items) else None
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._session.testsfailed:
                os._exit(KILLED)
            os.write(writing, _NUMBER.pack(number + 1, time.monotonic() - began))
        os._exit(SURVIVED)

    def _limit(self, test: str) -> float:
        """Seconds that a test may compute, or sit idle."""
        if not self._usual:
            return 600.0
        return SECONDS + TIMES * self._usual.get(test, 0.0)

    def _watch(self, child: int, reading: int) -> bool:
        """Wait until a fork ends, or sits idle for too long in one test; True: the latter."""
        idle, before = 0.0, math.nan
        while True:
            if select.select([reading], [], [], LOOK)[0]:
                told = os.read(reading, _NUMBER.size)
                if not told:
                    return False
                self._take(told)
                idle = 0.0
                continue
            sleeping, spent = _state(child)
            idle += LOOK if sleeping and spent == before else 0.0
            before = spent
            if idle > self._limit(self.test):
                os.kill(child, signal.SIGKILL)
                return True

    def _take(self, told: bytes) -> None:
        number, seconds = _NUMBER.unpack(told)
        self.seconds[self._items[number - 1].nodeid] = seconds
        self._current = min(number, len(self._items) - 1)


def _state(process: int) -> tuple[bool, int]:
    """Whether a process sleeps, and the clock ticks that it has computed for.

    One that was stopped, or waits for a core, does not sleep.
    """
    fields = Path(f"/proc/{process}/stat").read_text("ascii").rpartition(") ")[2].split()
    return fields[0] == "S", int(fields[11]) + int(fields[12])
