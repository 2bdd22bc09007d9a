"""Everything at once on one server: what callers saw is what the server counted."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING, Final

import grpc
from tests.faults.history import History, Outcome, expected, sentence
from tests.faults.inspected import POISON
from tests.faults.servers import replica

from khulasa.v1 import translation_pb2, translation_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable

    Stub = translation_pb2_grpc.TranslationServiceAsyncStub

CALLS: Final = 4_000
AT_ONCE: Final = 50
SPELLED: Final = {
    grpc.StatusCode.OK: "OK",
    grpc.StatusCode.INVALID_ARGUMENT: "InvalidArgument",
    grpc.StatusCode.INTERNAL: "Internal",
    grpc.StatusCode.DEADLINE_EXCEEDED: "DeadlineExceeded",
}


class Crowd:
    """Callers of every kind: patient, hasty, leaving, wrong and poisonous.

    Args:
        stub: what they call.
    """

    def __init__(self, stub: Stub) -> None:
        self.history = History()
        self.codes: Counter[str] = Counter()
        self._stub = stub
        self._dice = random.Random(11)  # noqa: S311 - repeatable
        self._kinds: list[tuple[Callable[[int], list[str]], float, bool]] = [
            (lambda number: [sentence(number)], 60.0, False),
            (lambda number: [sentence(number), sentence(number)[::-1]], 60.0, False),
            (lambda number: [f"{POISON} {sentence(number)}"], 60.0, False),
            (lambda _: ["", "  "], 60.0, False),
            (lambda number: [sentence(number)] * 2, 60.0, True),
            (lambda number: [sentence(number)] * 4, 0.02, False),
        ]

    async def call(self, number: int) -> None:
        """One call of a kind that the dice choose."""
        contents, timeout, leaves = self._dice.choice(self._kinds)
        texts, request = contents(number), f"call-{number}"
        self.history.begin(request, "translate")
        message = translation_pb2.TranslateRequest(contents=texts)
        call = self._stub.Translate(message, timeout=timeout)
        if leaves:
            await asyncio.sleep(self._dice.random() * 0.01)
            call.cancel()
        self._told(request, texts, *(await self._outcome(call)))

    async def _outcome(self, call: object) -> tuple[grpc.StatusCode, list[str]]:
        try:
            answer = await call  # type: ignore[misc]  # a call of grpc.aio is awaitable
        except grpc.aio.AioRpcError as error:
            return error.code(), []
        except asyncio.CancelledError:
            return grpc.StatusCode.CANCELLED, []
        return grpc.StatusCode.OK, [each.text for each in answer.translations]

    def _told(
        self, request: str, texts: list[str], code: grpc.StatusCode, answers: list[str]
    ) -> None:
        self.codes[SPELLED.get(code, code.name)] += 1
        if code is grpc.StatusCode.CANCELLED:
            self.history.end(request, Outcome.CANCELLED)
        elif answers == [expected(text) for text in texts]:
            self.history.end(request, Outcome.ANSWERED)
        else:
            self.history.end(request, Outcome.FAILED, code.name)


async def test_both_sides_keep_the_same_books() -> None:
    """Thousands of calls of every kind: one outcome each, and the counters agree code by code.

    A call that was left, or whose deadline passed on its way, may have ended otherwise for the
    server: of these the sums agree.
    """
    with replica(mute=True) as server:
        async with grpc.aio.insecure_channel(server.grpc) as channel:
            crowd = Crowd(translation_pb2_grpc.TranslationServiceStub(channel))
            numbers = iter(range(CALLS))

            async def caller() -> None:
                for number in numbers:
                    await crowd.call(number)

            await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
            server.await_empty()
        handled = server.end()
    crowd.history.check()
    seen = {
        name.split()[1]: number
        for name, number in handled.items()
        if name.split()[0] == "Translate"
    }
    print(f"callers {dict(crowd.codes)}, server {seen}")  # noqa: T201 - the figure
    for code in ("InvalidArgument", "Internal"):
        assert seen[code] == crowd.codes[code] > 0
    assert crowd.codes["OK"] <= seen["OK"]
    never_arrived = CALLS - sum(seen.values())
    assert 0 <= never_arrived <= crowd.codes["CANCELLED"] + crowd.codes["DeadlineExceeded"]
    assert crowd.history.count(Outcome.ANSWERED) == crowd.codes["OK"]
