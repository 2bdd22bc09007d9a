"""Streamed translations, with and without asyncio."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

import grpc

from khulasa_client import decoding
from khulasa_client.errors import IncompleteStreamError
from khulasa_client.failures import from_cancellation, from_rpc_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from khulasa.v1 import translation_pb2
    from khulasa_client.values import StreamedSegment, StreamSummary


class _Stream:
    """What both kinds share: the end of a stream."""

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id
        self._summary: StreamSummary | None = None

    @property
    def summary(self) -> StreamSummary:
        """Usage, model and findings; there once all segments were read.

        Raises:
            IncompleteStreamError: they were not.
        """
        if self._summary is None:
            raise self._incomplete()
        return self._summary

    def _incomplete(self) -> IncompleteStreamError:
        text = "the stream has not reached its summary: the translation is incomplete"
        return IncompleteStreamError(text, request_id=self._request_id)

    def _segment(self, message: translation_pb2.StreamTranslateResponse) -> StreamedSegment | None:
        """The segment of a message; None where it is something else."""
        event = message.WhichOneof("event")
        if event == "summary":
            self._summary = decoding.stream_summary(message.summary)
        return decoding.streamed_segment(message.segment) if event == "segment" else None


class TranslationStream(_Stream):
    """The segments of a translation, in order, as they are finished.

    Iterate over it once; afterwards `summary` is there. A stream that ends without its summary
    raises `IncompleteStreamError`. To stop before the end, close it or use it in a `with`.
    """

    def __init__(
        self,
        call: Any,  # noqa: ANN401 - grpc's call is an iterator, a call and a future at once
        request_id: str,
        release: Callable[[], None],
    ) -> None:
        super().__init__(request_id)
        self._call = call
        self._release: Callable[[], None] | None = release

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> StreamedSegment:
        try:
            for message in self._call:
                if (segment := self._segment(message)) is not None:
                    return segment
        except grpc.RpcError as error:
            self.close()
            raise from_rpc_error(error, self._request_id) from error
        self.close()
        if self._summary is None:
            raise self._incomplete()
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """End the call."""
        release, self._release = self._release, None
        if release is not None:
            self._call.cancel()
            release()


class AsyncTranslationStream(_Stream):
    """As `TranslationStream`, to be iterated with `async for`; nothing is sent before that."""

    def __init__(
        self,
        start: Callable[[], Awaitable[tuple[Any, Callable[[], Awaitable[None]]]]],
        request_id: str,
    ) -> None:
        super().__init__(request_id)
        self._start = start
        self._call: Any = None
        self._release: Callable[[], Awaitable[None]] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamedSegment:
        if self._call is None:
            self._call, self._release = await self._start()
        try:
            async for message in self._call:
                if (segment := self._segment(message)) is not None:
                    return segment
        except grpc.RpcError as error:
            await self.aclose()
            raise from_rpc_error(error, self._request_id) from error
        except asyncio.CancelledError as error:
            raise from_cancellation(self._request_id) from error
        await self.aclose()
        if self._summary is None:
            raise self._incomplete()
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the call."""
        release, self._release = self._release, None
        if release is not None:
            self._call.cancel()
            await release()
