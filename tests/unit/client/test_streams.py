# ruff: noqa: ANN401 - fixtures of conftest.py have types that cannot be imported from there
"""Streamed translations: in order, complete or an error, and ended when nobody reads on."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from khulasa.v1 import translation_pb2
from khulasa_client import AsyncClient, Client, IncompleteStreamError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TEXT = "one two three"


def test_segments_then_summary(server: Any, script: Any) -> None:
    """The texts are the translation, and the summary is there at the end."""
    with Client(server.address) as client:
        stream = client.stream_translate(TEXT)
        with pytest.raises(IncompleteStreamError):
            _ = stream.summary
        segments = list(stream)
        assert "".join(segment.text for segment in segments) == "ONE TWO THREE "
        assert [TEXT[s.source.start : s.source.end] for s in segments] == TEXT.split()
        assert stream.summary.usage.code_points == len(TEXT)
        assert list(stream) == []
    assert 50 < script.seen[0].remaining < 70


async def test_async_segments_then_summary(server: Any) -> None:
    """The same with asyncio."""
    async with AsyncClient(server.address) as client, client.stream_translate(TEXT) as stream:
        assert [segment.text async for segment in stream] == ["ONE ", "TWO ", "THREE "]
        assert stream.summary.usage.code_points == len(TEXT)


def test_stream_without_summary_is_incomplete(client: Any, script: Any) -> None:
    """A stream that ends early in good order is an error, not a short translation."""
    script.then("StreamTranslate", lambda _request, _context: one_segment())
    with pytest.raises(IncompleteStreamError):
        client.collect("stream_translate", TEXT)


def test_error_after_the_first_segment(
    client: Any, script: Any, failing: Callable[..., Any]
) -> None:
    """What fails in the middle is raised there, and is not tried again."""

    def behaviour(request: Any, context: Any) -> Iterator[Any]:
        yield from one_segment()
        failing("UNAVAILABLE", "SHUTTING_DOWN", 0.01)(request, context)

    script.then("StreamTranslate", behaviour)
    with pytest.raises(UnavailableError) as caught:
        client.collect("stream_translate", TEXT)
    assert caught.value.reason == "SHUTTING_DOWN"
    assert len(script.seen) == 1


def test_error_before_the_first_segment_is_tried_again(
    client: Any, script: Any, failing: Callable[..., Any]
) -> None:
    """As long as nothing came, a stream is as safe to try again as a single answer."""
    script.then("StreamTranslate", failing("UNAVAILABLE", "NOT_READY", 0.01))
    assert len(client.collect("stream_translate", TEXT)) == 3


def test_closing_cancels_the_call(server: Any, script: Any) -> None:
    """A reader that stops early ends the work on the server."""
    over = threading.Event()
    script.then("StreamTranslate", endless(over))
    with Client(server.address) as client:
        with client.stream_translate(TEXT) as stream:
            assert next(stream).text == "X"
        assert over.wait(20)


def test_forgetting_cancels_the_call(server: Any, script: Any) -> None:
    """So does a reader that drops the stream."""
    over = threading.Event()
    script.then("StreamTranslate", endless(over))
    with Client(server.address) as client:
        for segment in client.stream_translate(TEXT):
            assert segment.text == "X"
            break
        assert over.wait(20)


async def test_async_closing_cancels_the_call(server: Any, script: Any) -> None:
    """The same with asyncio."""
    over = threading.Event()
    script.then("StreamTranslate", endless(over))
    async with AsyncClient(server.address) as client:
        async with client.stream_translate(TEXT) as stream:
            assert (await anext(stream)).text == "X"
        while not over.is_set():
            await client.health()


def endless(over: threading.Event) -> Any:
    """One segment, then nothing until the caller is gone."""

    def behaviour(_request: Any, context: Any) -> Iterator[Any]:
        context.add_callback(over.set)
        yield from one_segment()
        over.wait(20)

    return behaviour


def one_segment() -> Iterator[Any]:
    """A stream that stops before its summary."""
    result = translation_pb2.SegmentResult(text="X")
    yield translation_pb2.StreamTranslateResponse(segment=result)
