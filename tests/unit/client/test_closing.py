# ruff: noqa: ANN401 - fixtures of conftest.py have types that cannot be imported from there
"""What becomes of calls in flight when the client is closed, or their task is cancelled."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from khulasa.v1 import translation_pb2
from khulasa_client import (
    AsyncClient,
    CallCancelledError,
    Client,
    ConfigurationError,
    UnavailableError,
)


class Hold:
    """A behaviour that tells when it is asked and answers when its caller is gone."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.gone = threading.Event()

    def __call__(self, _request: Any, context: Any) -> Any:
        """Wait."""
        context.add_callback(self.gone.set)
        self.asked.set()
        self.gone.wait(20)
        return translation_pb2.TranslateResponse()

    def stream(self, request: Any, context: Any) -> Any:
        """Wait, as a stream."""
        self(request, context)
        yield from ()

    async def until(self, event: threading.Event) -> None:
        """Wait for one of them on an event loop."""
        assert await asyncio.to_thread(event.wait, 20)


@pytest.fixture
def hold(script: Any) -> Hold:
    """What the server does first on each of these methods."""
    hold = Hold()
    script.then("Translate", hold)
    script.then("StreamTranslate", hold.stream)
    script.then("BulkTranslate", hold.stream)
    return hold


def test_closing_ends_a_call(server: Any, hold: Hold) -> None:
    """A call in another thread ends with a typed error."""
    client = Client(server.address)
    caught: list[BaseException] = []

    def call() -> None:
        try:
            client.translate("x")
        except CallCancelledError as error:
            caught.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    assert hold.asked.wait(20)
    client.close()
    thread.join(20)
    assert len(caught) == 1


def test_closing_ends_a_bulk_call(server: Any, hold: Hold) -> None:
    """So does a bulk call, which cannot open another stream."""
    client = Client(server.address)
    results = client.bulk_translate(["x"])

    def close() -> None:
        hold.asked.wait(20)
        client.close()

    closer = threading.Thread(target=close)
    closer.start()
    with pytest.raises(ConfigurationError, match="closed"):
        next(results)
    closer.join(20)


async def test_closing_ends_an_async_call(server: Any, hold: Hold) -> None:
    """A task that waits for an answer sees an error, not a cancellation of itself."""
    client = AsyncClient(server.address)
    call = asyncio.create_task(client.translate("x"))
    await hold.until(hold.asked)
    await client.close()
    with pytest.raises((CallCancelledError, UnavailableError)):
        await call


async def test_closing_ends_an_async_stream(server: Any, hold: Hold) -> None:
    """The same for a stream."""
    client = AsyncClient(server.address)
    call = asyncio.ensure_future(anext(client.stream_translate("x")))
    await hold.until(hold.asked)
    await client.close()
    with pytest.raises((CallCancelledError, UnavailableError)):
        await call


async def test_closing_ends_an_async_bulk_call(server: Any, hold: Hold) -> None:
    """The same for a bulk call."""
    client = AsyncClient(server.address)
    call = asyncio.ensure_future(anext(client.bulk_translate(["x"])))
    await hold.until(hold.asked)
    await client.close()
    with pytest.raises(ConfigurationError, match="closed"):
        await call


@pytest.mark.parametrize("method", ["translate", "stream_translate", "bulk_translate"])
async def test_cancelling_a_task_ends_the_call(server: Any, hold: Hold, method: str) -> None:
    """A cancelled task is cancelled, and its call ends on the server."""
    async with AsyncClient(server.address) as client:
        task = asyncio.create_task(first(client, method))
        await hold.until(hold.asked)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await hold.until(hold.gone)


async def first(client: AsyncClient, method: str) -> object:
    """The first thing that a method gives."""
    if method == "translate":
        return await client.translate("x")
    if method == "stream_translate":
        async with client.stream_translate("x") as stream:
            return await anext(stream)
    return await anext(client.bulk_translate(["x"]))
