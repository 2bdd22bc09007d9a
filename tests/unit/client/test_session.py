"""What a bulk call decides, in every order of events."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import count

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import code_pb2, error_details_pb2, status_pb2
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from khulasa.v1 import translation_pb2
from khulasa_client import BulkItem, BulkTranslation, InvalidRequestError, UnavailableError
from khulasa_client.bulk import (
    MOST_ATTEMPTS,
    PATIENCE_SECONDS,
    SLACK_SECONDS,
    Session,
    Throttle,
)
from khulasa_client.encoding import bulk_translate
from khulasa_client.methods import BULK_TRANSLATE
from khulasa_client.wishes import TranslationWish

Request = translation_pb2.BulkTranslateRequest
Response = translation_pb2.BulkTranslateResponse


@dataclass
class Clock:
    """Time that passes when a test says so."""

    now: float = 1000.0

    def __call__(self) -> float:
        """Monotonic seconds."""
        return self.now

    def wait(self, seconds: float | None) -> None:
        """Let at least that much time pass, in spite of rounding; None: no time."""
        self.now += (seconds or 0.0) + 1e-6


def session(
    clock: Clock, patience: float = PATIENCE_SECONDS
) -> Session[Request, Response, BulkTranslation]:
    """A session without chance in it."""
    return Session(
        BULK_TRANSLATE,
        lambda item, timeout: bulk_translate(item, timeout, TranslationWish()),
        timeout=10.0,
        limit=1000,
        clock=clock,
        patience=patience,
        jitter=lambda: 0.5,
    )


def good(key: str) -> Response:
    """An answer."""
    return Response(id=key, translation=translation_pb2.Translation(text=key))


def bad(key: str, code: int = code_pb2.UNAVAILABLE, reason: str = "NOT_READY") -> Response:
    """A failure of an item."""
    detail = AnyMessage()
    detail.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="khulasa"))
    return Response(id=key, error=status_pb2.Status(code=code, details=[detail]))


class SessionMachine(RuleBasedStateMachine):
    """Drives a session as the network and the caller may, and keeps the books."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.session = session(self.clock, patience=float("inf"))
        self.numbers = count()
        self.given: list[str] = []
        self.results: list[str] = []
        self.on_stream: list[str] = []
        """What the server was sent on the open stream and has not answered."""
        self.open = False
        self.over = False

    def pump(self) -> None:
        """What a driver does between two events."""
        if self.session.wants_stream:
            assert not self.open
            self.session.opened()
            self.open, self.on_stream = True, []
        if self.open:
            self.on_stream += [request.id for request in self.session.outgoing()]
        while self.session.results:
            self.results.append(self.session.results.popleft().id)

    @precondition(lambda self: not self.over)
    @rule(kind=st.sampled_from(["fresh", "fresh", "again", "unsendable"]))
    def item(self, kind: str) -> None:
        """The caller gives an item: a new one, one of an old id, or one that cannot be sent."""
        again = self.given and kind == "again"
        key = self.given[-1] if again else str(next(self.numbers))
        self.given.append(key)
        self.session.item(BulkItem(key, "\ud800" if kind == "unsendable" else "x"))
        self.pump()

    @rule()
    def end(self) -> None:
        """The caller has no more."""
        self.over = True
        self.session.ended()
        self.pump()

    @precondition(lambda self: self.on_stream)
    @rule(data=st.data(), kind=st.sampled_from(["good", "good", "later", "never"]))
    def answer(self, data: st.DataObject, kind: str) -> None:
        """The server answers one of what it has, in any order."""
        key = data.draw(st.sampled_from(self.on_stream))
        self.on_stream.remove(key)
        never = bad(key, code_pb2.INVALID_ARGUMENT, "TEXT_TOO_LONG")
        self.session.answer({"good": good(key), "later": bad(key), "never": never}[kind])
        self.pump()

    @precondition(lambda self: self.open)
    @rule(key=st.integers(0, 20))
    def strange_answer(self, key: int) -> None:
        """The server answers something that it does not have."""
        if str(key) not in self.on_stream:
            self.session.answer(good(f"strange-{key}"))
            self.pump()

    @precondition(lambda self: self.open)
    @rule(orderly=st.booleans())
    def close(self, *, orderly: bool) -> None:
        """The stream ends."""
        self.open, self.on_stream = False, []
        self.session.closed(None if orderly else UnavailableError("lost"))
        self.clock.wait(self.session.wait())
        self.pump()

    @rule()
    def sleep(self) -> None:
        """Nothing happens until something is due, as long as streams are alive."""
        wait = self.session.wait()
        if wait is not None and wait < SLACK_SECONDS:
            self.clock.wait(wait)
            self.pump()

    @invariant()
    def the_books_agree(self) -> None:
        """No item has more results than times it was given; finished means all have theirs."""
        results, given = Counter(self.results), Counter(self.given)
        assert results <= given
        if self.session.finished:
            assert results == given

    @invariant()
    def nothing_is_sent_twice_on_a_stream(self) -> None:
        """What the server still has is not sent to it again: it would be refused."""
        assert len(set(self.on_stream)) == len(self.on_stream)

    def teardown(self) -> None:
        """Whatever happened: a server that answers everything brings every result."""
        self.session.ended()
        while not self.session.finished:
            self.clock.wait(self.session.wait())
            self.pump()
            for key in self.on_stream:
                self.session.answer(good(key))
            self.on_stream = []
            self.pump()
        self.pump()
        assert Counter(self.results) == Counter(self.given)


TestSession = SessionMachine.TestCase
TestSession.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def connected(clock: Clock, *keys: str) -> Session[Request, Response, BulkTranslation]:
    """A session whose items are on an open stream."""
    made = session(clock)
    for key in keys:
        made.item(BulkItem(key, "x"))
    made.opened()
    assert [request.id for request in made.outgoing()] == list(keys)
    return made


def test_silence_is_not_waited_for_forever() -> None:
    """A stream without answers for an item's time and more is dead, and another is opened."""
    clock = Clock()
    waiting = connected(clock, "a")
    assert waiting.wait() == 10 + SLACK_SECONDS
    stalled = []
    for seconds in (10, SLACK_SECONDS):
        clock.now += seconds
        stalled.append(waiting.stalled)
    waiting.closed(UnavailableError("silence"))
    assert [*stalled, waiting.stalled] == [False, True, False]
    assert waiting.wait() == pytest.approx(0.2)


def test_a_stream_that_a_stopping_server_kept_does_not_end_the_call() -> None:
    """Streams failed a moment before a silent one: it is opened again, and given up only then."""
    clock = Clock()
    waiting = connected(clock, "a")
    waiting.closed(None)
    waiting.opened()
    clock.now += 10 + SLACK_SECONDS + 60
    waiting.silent()
    assert not waiting.stalled
    assert waiting.wait() is not None
    waiting.opened()
    clock.now += 10 + SLACK_SECONDS + 60
    with pytest.raises(UnavailableError):
        waiting.silent()


def test_an_answer_is_a_sign_of_life() -> None:
    """The time runs from the last answer."""
    clock = Clock()
    waiting = connected(clock, "a", "b")
    clock.now += 30
    waiting.answer(good("a"))
    clock.now += 30
    assert not waiting.stalled


def test_an_idle_stream_is_not_dead() -> None:
    """A stream on which nothing is asked may be silent."""
    clock = Clock()
    idle = connected(clock, "a")
    idle.answer(good("a"))
    assert idle.wait() is None
    clock.now += 10_000
    assert not idle.stalled
    idle.item(BulkItem("b", "x"))
    assert not idle.stalled


def test_a_server_that_stays_away_is_given_up() -> None:
    """After a minute of failing streams the failure is raised."""
    clock = Clock()
    lost = connected(clock, "a")
    began = clock.now
    with pytest.raises(UnavailableError, match="lost"):
        lose_streams(lost, clock, UnavailableError("lost"))
    assert PATIENCE_SECONDS <= clock.now - began < PATIENCE_SECONDS + 10


def test_streams_that_end_without_answers_are_given_up() -> None:
    """A server that ends every stream in good order and answers nothing is not asked forever."""
    clock = Clock()
    lost = connected(clock, "a")
    lost.closed(None)
    assert lost.wait() == 0
    lost.opened()
    with pytest.raises(UnavailableError, match="without answers"):
        lose_streams(lost, clock, None)


def lose_streams(
    lost: Session[Request, Response, BulkTranslation], clock: Clock, error: UnavailableError | None
) -> None:
    """Open one stream after the other and lose it."""
    while True:
        lost.closed(error)
        clock.wait(lost.wait())
        assert lost.wants_stream
        lost.opened()


def test_the_server_says_when_to_come_back() -> None:
    """A pushback that is longer than the backoff is obeyed."""
    clock = Clock()
    lost = connected(clock, "a")
    lost.closed(UnavailableError("lost", retry_after=7))
    assert lost.wait() == 7


def test_an_error_that_stays_is_raised() -> None:
    """A stream that is refused for what it is, is not opened again."""
    with pytest.raises(InvalidRequestError):
        connected(Clock(), "a").closed(InvalidRequestError("no"))


def test_items_are_not_retried_forever() -> None:
    """An item that always comes back with the same passing error has it as its result."""
    clock = Clock()
    trying = connected(clock, "a")
    sent = 1
    while not trying.results:
        trying.answer(bad("a"))
        clock.wait(trying.wait())
        sent += len(list(trying.outgoing()))
    assert sent == MOST_ATTEMPTS
    assert isinstance(trying.results[0].error, UnavailableError)


def test_throttle() -> None:
    """Four retries for nothing, then one for ten answers."""
    throttle = Throttle()
    assert [throttle.allows_retry() for _ in range(6)] == [True] * 4 + [False] * 2
    for _ in range(19):
        throttle.answered()
    assert not throttle.allows_retry()
    for _ in range(11):
        throttle.answered()
    assert throttle.allows_retry() is False
    for _ in range(25):
        throttle.answered()
    assert throttle.allows_retry()
