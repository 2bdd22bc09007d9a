# ruff: noqa: ANN401 - fixtures of conftest.py have types that cannot be imported from there
"""Bulk calls over a real channel: one result for each item, whatever happens on the way."""

from __future__ import annotations

import threading
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from khulasa.v1 import translation_pb2
from khulasa_client import (
    AsyncClient,
    BulkItem,
    Client,
    InvalidRequestError,
    MessageTooLargeError,
    UnauthenticatedError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator


def answer(item: Any) -> Any:
    """The answer to an item."""
    translation = translation_pb2.Translation(text=item.content.upper())
    return translation_pb2.BulkTranslateResponse(id=item.id, translation=translation)


def test_results_are_keyed_by_id(client: Any, script: Any) -> None:
    """Ids are the caller's, or the places of bare texts; the stream has no deadline of its own."""
    items = [("a", "x"), BulkItem("b", "y", timeout=5), "z"]
    results = client.collect("bulk_translate", items)
    assert {result.id: result.translation.text for result in results} == {
        "a": "X",
        "b": "Y",
        "2": "Z",
    }
    [call] = script.seen
    assert call.remaining is None
    assert len(call.metadata["x-request-id"]) == 32


def test_each_item_has_a_timeout(client: Any, script: Any) -> None:
    """An item's own timeout, the call's, or the method's default is sent with it."""
    seen: list[Any] = []

    def behaviour(items: Iterable[Any], _context: Any) -> Iterator[Any]:
        for item in items:
            seen.append(item.timeout.seconds)
            yield answer(item)

    script.then("BulkTranslate", behaviour, behaviour)
    client.collect("bulk_translate", [BulkItem("a", "x", timeout=5), ("b", "x")])
    client.collect("bulk_translate", [("a", "x")], timeout=7)
    assert seen == [5, 60, 7]


def test_summaries(client: Any) -> None:
    """Summaries come the same way."""
    [result] = client.collect("bulk_summarize", [("a", "one two")])
    assert (result.id, result.summary.text, result.error) == ("a", "one", None)


def test_order_is_that_of_the_answers(client: Any, script: Any) -> None:
    """What is answered first is given first."""

    def behaviour(items: Iterable[Any], _context: Any) -> Iterator[Any]:
        yield from reversed([answer(item) for item in islice(items, 3)])

    script.then("BulkTranslate", behaviour)
    results = client.collect("bulk_translate", [("a", "x"), ("b", "x"), ("c", "x")])
    assert [result.id for result in results] == ["c", "b", "a"]


def test_items_are_taken_lazily(server: Any, script: Any) -> None:
    """No more items are taken than the window has room for."""
    taken: list[int] = []
    go = threading.Event()

    def behaviour(items: Iterable[Any], _context: Any) -> Iterator[Any]:
        for item in items:
            go.wait(20)
            yield answer(item)

    def items() -> Iterator[str]:
        for index in range(10_000):
            taken.append(index)
            if len(taken) == 64:
                go.set()
            yield "x"

    script.then("BulkTranslate", behaviour)
    with Client(server.address) as client:
        results = client.bulk_translate(items())
        given = [next(results) for _ in range(100)]
        assert len(given) == 100
        assert 100 <= len(taken) <= 100 + 64


def test_failed_items_do_not_end_the_stream(client: Any, script: Any, status: Any) -> None:
    """An item's error is its result, typed, and the others go on."""

    def behaviour(items: Iterable[Any], _context: Any) -> Iterator[Any]:
        for item in items:
            if item.id == "bad":
                error = status("INVALID_ARGUMENT", "TEXT_TOO_LONG")
                yield translation_pb2.BulkTranslateResponse(id=item.id, error=error)
            else:
                yield answer(item)

    script.then("BulkTranslate", behaviour)
    results = client.collect("bulk_translate", [("a", "x"), ("bad", "x"), ("c", "x")])
    errors = {result.id: result.error for result in results}
    assert (errors["a"], errors["c"]) == (None, None)
    assert isinstance(errors["bad"], InvalidRequestError)
    assert errors["bad"].reason == "TEXT_TOO_LONG"


def test_items_that_cannot_be_sent(connect: Callable[..., Any], server: Any) -> None:
    """What is wrong with an item here is its result, and the others go on."""
    client = connect(server.address, max_message_bytes=1000)
    items = [("", "x"), ("s", "\ud800"), ("l", "x" * 1000), ("a", "x")]
    results = {result.id: result for result in client.collect("bulk_translate", items)}
    assert results["a"].translation.text == "X"
    assert results[""].error.reason == "OPTION_INVALID"
    assert results["s"].error.reason == "TEXT_INVALID"
    assert isinstance(results["l"].error, MessageTooLargeError)


def test_an_id_in_flight_is_not_sent_twice(client: Any, script: Any) -> None:
    """The second item of an id fails while the first is unanswered; the first is answered."""

    def behaviour(items: Iterable[Any], _context: Any) -> Iterator[Any]:
        yield from reversed([answer(item) for item in islice(items, 2)])

    script.then("BulkTranslate", behaviour)
    results = client.collect("bulk_translate", [("a", "1"), ("a", "2"), ("b", "3")])
    found = sorted((r.id, r.translation.text if r.translation else r.error.reason) for r in results)
    assert found == [("a", "1"), ("a", "OPTION_INVALID"), ("b", "3")]


def test_unanswered_items_are_sent_again(
    client: Any, script: Any, failing: Callable[..., Any]
) -> None:
    """A stream that breaks is opened again, and only what it left is sent on the next one."""
    second: list[str] = []

    def breaks(items: Any, context: Any) -> Iterator[Any]:
        first, *_ = islice(items, 3)
        yield answer(first)
        failing("UNAVAILABLE", "SHUTTING_DOWN", 0.01)(items, context)

    def works(items: Iterable[Any], _context: Any) -> Iterator[Any]:
        for item in items:
            second.append(item.id)
            yield answer(item)

    script.then("BulkTranslate", breaks, works)
    results = client.collect("bulk_translate", [("a", "x"), ("b", "x"), ("c", "x")])
    assert sorted(result.id for result in results) == ["a", "b", "c"]
    assert second == ["b", "c"]


def test_stream_that_ends_early_is_opened_again(client: Any, script: Any) -> None:
    """A server that stops answers what it read and ends in good order; the rest goes on."""

    def stops(items: Any, _context: Any) -> Iterator[Any]:
        yield answer(next(iter(items)))

    script.then("BulkTranslate", stops, stops, stops)
    results = client.collect("bulk_translate", [(str(n), "x") for n in range(10)])
    assert sorted(result.id for result in results) == sorted(str(n) for n in range(10))


def test_server_that_dies_and_comes_back(
    connect: Callable[..., Any], server: Any, script: Any
) -> None:
    """Losing the server in the middle loses no item and doubles none."""
    client = connect(server.address)
    half = threading.Event()

    def stops_half_way(items: Iterable[Any], _context: Any) -> Iterator[Any]:
        for count, item in enumerate(items):
            if count == 100:
                half.set()
                return
            yield answer(item)

    def restart() -> None:
        half.wait(20)
        server.stop()
        server.start()

    script.then("BulkTranslate", stops_half_way)
    restarter = threading.Thread(target=restart)
    restarter.start()
    results = client.collect("bulk_translate", [(str(n), "x") for n in range(300)])
    restarter.join()
    assert sorted(int(result.id) for result in results) == list(range(300))


def test_items_told_to_come_back_are_sent_again(client: Any, script: Any, status: Any) -> None:
    """An item whose answer is that the service is not ready is tried again, a few times."""
    attempts: list[str] = []

    def behaviour(items: Iterable[Any], _context: Any) -> Iterator[Any]:
        for item in items:
            attempts.append(item.id)
            if attempts.count(item.id) <= {"once": 1, "never": 99}[item.id]:
                error = status("UNAVAILABLE", "NOT_READY", 0.001)
                yield translation_pb2.BulkTranslateResponse(id=item.id, error=error)
            else:
                yield answer(item)

    script.then("BulkTranslate", behaviour)
    results = client.collect("bulk_translate", [("once", "x"), ("never", "x")])
    found = {result.id: result for result in results}
    assert found["once"].translation.text == "X"
    assert isinstance(found["never"].error, UnavailableError)
    assert attempts.count("once") == 2
    assert 1 < attempts.count("never") <= 5


def test_refused_stream_is_raised(client: Any, script: Any, failing: Callable[..., Any]) -> None:
    """What does not pass by waiting is raised at once.

    Or almost: where the refusal meets a write, grpc.aio loses it, and the next stream tells.
    """
    script.then("BulkTranslate", *[failing("UNAUTHENTICATED", "TOKEN_INVALID")] * 20)
    with pytest.raises(UnauthenticatedError) as caught:
        client.collect("bulk_translate", [("a", "x")])
    assert caught.value.request_id == "from-the-server"
    assert len(script.seen) < 20


def test_error_of_the_items_is_raised(client: Any) -> None:
    """What goes wrong where the items come from reaches who reads the results."""

    def items() -> Iterator[str]:
        yield "x"
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        client.collect("bulk_translate", items())


def test_no_items(client: Any, script: Any) -> None:
    """Without items nothing is sent and nothing comes."""
    assert client.collect("bulk_translate", []) == []
    assert script.seen == []


def test_leaving_early_cancels(server: Any, script: Any) -> None:
    """A reader that stops ends the stream, and no more items are taken."""
    over = threading.Event()

    def behaviour(items: Iterable[Any], context: Any) -> Iterator[Any]:
        context.add_callback(over.set)
        for item in items:
            yield answer(item)

    script.then("BulkTranslate", behaviour)
    with Client(server.address) as client:
        results = client.bulk_translate("x" for _ in range(10_000))
        assert next(results).translation is not None
        results.close()  # type: ignore[attr-defined] # it is a generator
        assert over.wait(20)


async def test_async_items(server: Any) -> None:
    """The asynchronous client takes asynchronous items."""

    async def items() -> AsyncIterator[tuple[str, str]]:
        for key in "abc":
            yield key, key

    async with AsyncClient(server.address) as client:
        texts = {r.id: r.translation async for r in client.bulk_translate(items())}
    assert sorted(texts) == ["a", "b", "c"]


async def test_async_leaving_early_cancels(server: Any, script: Any) -> None:
    """The same with asyncio."""
    over = threading.Event()

    def behaviour(items: Iterable[Any], context: Any) -> Iterator[Any]:
        context.add_callback(over.set)
        for item in items:
            yield answer(item)

    script.then("BulkTranslate", behaviour)
    async with AsyncClient(server.address) as client:
        results = client.bulk_translate("x" for _ in range(10_000))
        assert (await anext(results)).translation is not None
        await results.aclose()  # type: ignore[attr-defined] # it is a generator
        while not over.is_set():
            await client.health()
