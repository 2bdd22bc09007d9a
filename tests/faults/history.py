"""What callers saw, and whether it can be true of a service that loses and doubles nothing."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from khulasa_server.engines.scripted import transliterate

LETTERS: Final = "ابتثجحخدذرزسشصضطظعغفقكلمنهوي"


class Outcome(StrEnum):
    """How a request ended for its caller."""

    ANSWERED = "answered"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Event:
    """One outcome of one request, with what went wrong where something did."""

    request: str
    outcome: Outcome
    detail: str = ""


@dataclass
class History:
    """Requests and their outcomes, as many threads report them."""

    begun: dict[str, str] = field(default_factory=dict)
    """Id to method."""
    events: list[Event] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, request: str, method: str) -> None:
        """Note that a request is about to be sent."""
        with self._lock:
            assert request not in self.begun, f"{request} was sent twice by the test itself"
            self.begun[request] = method

    def end(self, request: str, outcome: Outcome, detail: str = "") -> None:
        """Note what its caller was told."""
        with self._lock:
            self.events.append(Event(request, outcome, detail))

    def count(self, outcome: Outcome) -> int:
        """Requests that ended so, until now."""
        with self._lock:
            return sum(event.outcome is outcome for event in self.events)

    def answered(self, method: str) -> int:
        """Requests of a method that were answered."""
        return sum(
            event.outcome is Outcome.ANSWERED and self.begun[event.request] == method
            for event in self.events
        )

    def check(self) -> None:
        """Every request has exactly one outcome, and no outcome is nobody's."""
        times = Counter(event.request for event in self.events)
        twice = [request for request, number in times.items() if number > 1]
        assert not twice, f"told more than once: {twice}"
        unasked = times.keys() - self.begun.keys()
        assert not unasked, f"told without having been asked: {unasked}"
        untold = self.begun.keys() - times.keys()
        assert not untold, f"never told: {untold}"

    def check_nothing_failed(self) -> None:
        """As `check`, and every request was answered."""
        self.check()
        failed = [event for event in self.events if event.outcome is not Outcome.ANSWERED]
        assert not failed, f"{len(failed)} of {len(self.events)}: {failed[:5]}"


def sentence(number: int) -> str:
    """A text that no other number has, without digits, which a guard would look at."""
    word = ""
    while True:
        number, letter = divmod(number, len(LETTERS))
        word += LETTERS[letter]
        if not number:
            return f"كتاب {word} في البيت"


def expected(text: str) -> str:
    """What the scripted translator answers: another request's answer would show."""
    return transliterate(text)
