"""TranslationService: bytes in, messages out, the work in `tasks`."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from khulasa.v1 import translation_pb2 as pb
from khulasa_server.rpc.bulk import BulkDesk
from khulasa_server.rpc.encoding import (
    encode_end,
    encode_event,
    encode_translation,
    encode_usage,
)
from khulasa_server.rpc.requests import (
    bulk_translate_job,
    decode,
    stream_translate_job,
    translate_job,
)
from khulasa_server.tasks.values import StreamEnd

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from khulasa_server.rpc.handlers import Gate, Handler
    from khulasa_server.tasks.translate import Translator

SERVICE = pb.DESCRIPTOR.services_by_name["TranslationService"]


class TranslationServicer:
    """Translates."""

    def __init__(self, translator: Translator, gate: Gate) -> None:
        self._translator = translator
        self._gate = gate

    def handlers(self) -> dict[str, Handler]:
        """Handlers by method name."""
        return {
            "Translate": self._gate.unary(self.translate),
            "StreamTranslate": self._gate.server_stream(self.stream_translate),
            "BulkTranslate": self._gate.bidi_stream(self.bulk_translate),
        }

    async def translate(self, data: bytes, deadline: float) -> pb.TranslateResponse:
        """All contents, or none."""
        request = decode(pb.TranslateRequest, data)
        job = translate_job(request, self._gate.bounds, deadline)
        translations, usage = await self._translator.translate(job)
        answer = pb.TranslateResponse(
            translations=map(encode_translation, translations), usage=encode_usage(usage)
        )
        return self._gate.bounds.sendable(answer)

    async def stream_translate(
        self, data: bytes, deadline: float
    ) -> AsyncGenerator[pb.StreamTranslateResponse, None]:
        """One text, segment by segment."""
        request = decode(pb.StreamTranslateRequest, data)
        job = stream_translate_job(request, self._gate.bounds, deadline)
        async with aclosing(self._translator.stream(job)) as events:
            async for event in events:
                sendable = self._gate.bounds.sendable
                if isinstance(event, StreamEnd):
                    yield sendable(encode_end(event))
                else:
                    yield sendable(encode_event(event))

    async def bulk_translate(
        self, requests: AsyncIterator[bytes]
    ) -> AsyncGenerator[pb.BulkTranslateResponse, None]:
        """Items, each answered as it finishes."""
        desk = BulkDesk(
            parse=lambda data: decode(pb.BulkTranslateRequest, data),
            refuse=lambda name, error: pb.BulkTranslateResponse(id=name, error=error),
            serve=self._bulk_item,
            draining=self._gate.draining,
        )
        async with aclosing(desk.answers(requests)) as answers:
            async for answer in answers:
                yield answer

    async def _bulk_item(self, item: pb.BulkTranslateRequest) -> pb.BulkTranslateResponse:
        job = bulk_translate_job(item, self._gate.bounds, self._gate.clock())
        async with self._gate.until(job.deadline):
            (translation,), _ = await self._translator.translate(job)
        answer = pb.BulkTranslateResponse(id=item.id, translation=encode_translation(translation))
        return self._gate.bounds.sendable(answer)
