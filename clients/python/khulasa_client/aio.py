# ruff: noqa: ASYNC109 - a timeout is the deadline that the server is told, not only ours
"""The client for code with asyncio."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Self, Unpack

from google.protobuf import wrappers_pb2

from khulasa.v1 import model_pb2
from khulasa_client import decoding, encoding, methods
from khulasa_client.async_transport import AsyncTransport
from khulasa_client.connection import Connection, ConnectionArguments
from khulasa_client.wishes import (
    SummaryArguments,
    SummaryWish,
    TranslationArguments,
    TranslationWish,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
    from types import TracebackType

    from khulasa_client.bulk import Item
    from khulasa_client.enums import HealthStatus
    from khulasa_client.streams import AsyncTranslationStream
    from khulasa_client.values import (
        BulkSummary,
        BulkTranslation,
        Model,
        Summary,
        Translation,
    )


class AsyncClient:
    """As `Client`, with methods to be awaited or iterated with `async for`.

    It belongs to the event loop of its first call, before which nothing is sent. Calls that fail
    with UNAVAILABLE or RESOURCE_EXHAUSTED are tried again until their deadline, at most 10 % of
    them in the long run. Every method raises subclasses of `KhulasaError` only.

    Args:
        address: `host:port`; or, to spread calls, `dns:///host:port` for all addresses of a name,
            or `ipv4:address:port,address:port`.
        arguments: see `ConnectionArguments`.

    Raises:
        ConfigurationError: the arguments do not fit together.
    """

    def __init__(
        self, address: str = "localhost:50051", **arguments: Unpack[ConnectionArguments]
    ) -> None:
        self._transport = AsyncTransport(Connection(address=address, **arguments))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End calls in flight and the connection."""
        await self._transport.close()

    async def translate(
        self,
        text: str,
        *,
        timeout: float | None = None,
        request_id: str = "",
        **wish: Unpack[TranslationArguments],
    ) -> Translation:
        """Translate one text.

        Args:
            text: at most 30,000 code points by default.
            timeout: seconds, 60 by default.
            request_id: name of the call in the server's log; empty: made up.
            wish: see `TranslationArguments`.
        """
        many = await self.translate_many([text], timeout=timeout, request_id=request_id, **wish)
        return many[0]

    async def translate_many(
        self,
        texts: Sequence[str],
        *,
        timeout: float | None = None,
        request_id: str = "",
        **wish: Unpack[TranslationArguments],
    ) -> list[Translation]:
        """Translate up to 128 texts in one request, all or none; arguments as of `translate`."""
        request = encoding.translate(texts, TranslationWish(**wish))
        answer = await self._transport.call(methods.TRANSLATE, request, timeout, request_id)
        return decoding.translations(answer, len(texts))

    def stream_translate(
        self,
        text: str,
        *,
        timeout: float | None = None,
        request_id: str = "",
        **wish: Unpack[TranslationArguments],
    ) -> AsyncTranslationStream:
        """Translate one text, segment by segment as they are finished.

        See `AsyncTranslationStream`. Arguments as of `translate`. What the server refuses is raised
        while iterating.
        """
        request = encoding.stream_translate(text, TranslationWish(**wish))
        return self._transport.stream(methods.STREAM_TRANSLATE, request, timeout, request_id)

    def bulk_translate(
        self,
        items: Iterable[Item] | AsyncIterable[Item],
        *,
        timeout: float | None = None,
        **wish: Unpack[TranslationArguments],
    ) -> AsyncIterator[BulkTranslation]:
        """Translate any number of texts, and give each result as soon as it is there.

        Items are taken, from an iterable of either kind, at most 64 ahead of the results. When the
        server goes away, a stream is opened again and the unanswered items are sent again; each
        item has one result. When none can be opened for a minute, or the server refuses the
        stream, the error is raised, and what had no result yet can be given again.

        Args:
            items: `(id, text)`, `BulkItem`, or a text, which is then named by its place from 0.
            timeout: seconds for each item, 60 by default.
            wish: see `TranslationArguments`.
        """
        encode = partial(encoding.bulk_translate, wish=TranslationWish(**wish))
        return self._transport.bulk(methods.BULK_TRANSLATE, encode, items, timeout)

    async def summarize(
        self,
        text: str,
        *,
        timeout: float | None = None,
        request_id: str = "",
        **wish: Unpack[SummaryArguments],
    ) -> Summary:
        """Summarize one text.

        Args:
            text: at most 30,000 code points by default.
            timeout: seconds, 180 by default.
            request_id: name of the call in the server's log; empty: made up.
            wish: see `SummaryArguments`.
        """
        request = encoding.summarize(text, SummaryWish(**wish))
        answer = await self._transport.call(methods.SUMMARIZE, request, timeout, request_id)
        return decoding.summary(answer.summary)

    def bulk_summarize(
        self,
        items: Iterable[Item] | AsyncIterable[Item],
        *,
        timeout: float | None = None,
        **wish: Unpack[SummaryArguments],
    ) -> AsyncIterator[BulkSummary]:
        """Summarize any number of texts, 180 s for each by default; as `bulk_translate`."""
        encode = partial(encoding.bulk_summarize, wish=SummaryWish(**wish))
        return self._transport.bulk(methods.BULK_SUMMARIZE, encode, items, timeout)

    async def list_models(self, *, timeout: float | None = None) -> list[Model]:
        """Every configured model, ordered by name; `timeout` in seconds a page, 10 by default."""
        models: list[Model] = []
        request = model_pb2.ListModelsRequest()
        while True:
            answer = await self._transport.call(methods.LIST_MODELS, request, timeout)
            models += [decoding.model(model) for model in answer.models]
            if not answer.next_page_token:
                return models
            request = model_pb2.ListModelsRequest(page_token=answer.next_page_token)

    async def get_model(self, name: str, *, timeout: float | None = None) -> Model:
        """Describe one model; `NotFoundError` where there is none of this name."""
        request = encoding.get_model(name)
        answer = await self._transport.call(methods.GET_MODEL, request, timeout)
        return decoding.model(answer.model)

    async def health(self, service: str = "", *, timeout: float | None = None) -> HealthStatus:
        """What the health service says of a service; empty: of all that are required.

        `NotFoundError` where the server does not know the service.
        """
        request = wrappers_pb2.StringValue(value=service)
        return decoding.health(await self._transport.call(methods.HEALTH, request, timeout))
