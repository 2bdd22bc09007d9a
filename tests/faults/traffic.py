"""Callers that go on while things break, and know what every answer must be."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Final

from tests.faults.history import History, Outcome, expected, sentence

from khulasa_client import Client, KhulasaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CALLERS: Final = 24
TIMEOUT: Final = 60.0


class Traffic:
    """Threads that call one after the other, and one that streams items in bulk.

    Args:
        client: what they call through.
    """

    def __init__(self, client: Client) -> None:
        self.history = History()
        self._client = client
        self._numbers = count()
        self._stop = threading.Event()
        self._threads = [
            *(threading.Thread(target=self._call, args=(each,)) for each in range(CALLERS)),
            threading.Thread(target=self._bulk),
        ]

    def start(self) -> None:
        """Let them begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let every caller finish what it has begun."""
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * TIMEOUT)
            assert not thread.is_alive(), "a caller hangs"

    def answered(self) -> int:
        """Answers so far."""
        return self.history.count(Outcome.ANSWERED)

    def _call(self, caller: int) -> None:
        methods = (self._translate, self._stream, self._summarize)
        while not self._stop.wait(0.002):
            number = next(self._numbers)
            method = methods[(number + caller) % len(methods)]
            request = f"call-{number}"
            self.history.begin(request, method.__name__.removeprefix("_"))
            self._told(request, method, number)

    def _told(self, request: str, method: Callable[[int], None], number: int) -> None:
        try:
            method(number)
        except (KhulasaError, AssertionError) as error:
            self.history.end(request, Outcome.FAILED, repr(error))
        else:
            self.history.end(request, Outcome.ANSWERED)

    def _translate(self, number: int) -> None:
        """Two texts: answered in their order."""
        texts = [sentence(number), sentence(number)[::-1]]
        answers = self._client.translate_many(texts, timeout=TIMEOUT)
        assert [each.text for each in answers] == [expected(each) for each in texts]

    def _stream(self, number: int) -> None:
        """Segments come in the order of the text, and together are its translation."""
        text = "\n".join(f"{sentence(number)}." for _ in range(3))
        stream = self._client.stream_translate(text, timeout=TIMEOUT)
        segments = list(stream)
        starts = [each.source.start for each in segments]
        assert starts == sorted(starts)
        assert "".join(each.text for each in segments) == expected(text)

    def _summarize(self, number: int) -> None:
        """A summary and its translation."""
        text = f"{sentence(number)} {sentence(number + 1)} {sentence(number + 2)}"
        summary = self._client.summarize(text, to="en", timeout=TIMEOUT)
        assert summary.text
        assert summary.translation is not None

    def _bulk(self) -> None:
        """One endless bulk call: each id has one result, the right one."""
        for result in self._client.bulk_translate(self._items(), timeout=TIMEOUT):
            number = int(result.id.removeprefix("bulk-"))
            if result.translation is None:
                self.history.end(result.id, Outcome.FAILED, repr(result.error))
            elif result.translation.text != expected(sentence(number)):
                self.history.end(result.id, Outcome.FAILED, result.translation.text)
            else:
                self.history.end(result.id, Outcome.ANSWERED)

    def _items(self) -> Iterator[tuple[str, str]]:
        while not self._stop.wait(0.002):
            number = next(self._numbers)
            self.history.begin(f"bulk-{number}", "bulk")
            yield f"bulk-{number}", sentence(number)


@contextmanager
def traffic(*addresses: str) -> Iterator[Traffic]:
    """Callers of some servers behind one target, until the end of the block."""
    with Client("ipv4:" + ",".join(addresses)) as client:
        running = Traffic(client)
        running.start()
        try:
            yield running
        finally:
            running.stop()
