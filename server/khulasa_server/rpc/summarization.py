"""SummarizationService: bytes in, messages out, the work in `tasks`."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from khulasa.v1 import summarization_pb2 as pb
from khulasa_server.rpc.bulk import BulkDesk
from khulasa_server.rpc.encoding import encode_summary, encode_usage
from khulasa_server.rpc.requests import bulk_summarize_job, decode, summarize_job

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from khulasa_server.rpc.handlers import Gate, Handler
    from khulasa_server.tasks.summarize import Summarizer

SERVICE = pb.DESCRIPTOR.services_by_name["SummarizationService"]


class SummarizationServicer:
    """Summarizes."""

    def __init__(self, summarizer: Summarizer, gate: Gate) -> None:
        self._summarizer = summarizer
        self._gate = gate

    def handlers(self) -> dict[str, Handler]:
        """Handlers by method name."""
        return {
            "Summarize": self._gate.unary(self.summarize),
            "BulkSummarize": self._gate.bidi_stream(self.bulk_summarize),
        }

    async def summarize(self, data: bytes, deadline: float) -> pb.SummarizeResponse:
        """One text, and its summary's translation where asked for."""
        request = decode(pb.SummarizeRequest, data)
        job = summarize_job(request, self._gate.bounds, deadline)
        summary, usage = await self._summarizer.summarize(job)
        answer = pb.SummarizeResponse(summary=encode_summary(summary), usage=encode_usage(usage))
        return self._gate.bounds.sendable(answer)

    async def bulk_summarize(
        self, requests: AsyncIterator[bytes]
    ) -> AsyncGenerator[pb.BulkSummarizeResponse, None]:
        """Items, each answered as it finishes."""
        desk = BulkDesk(
            parse=lambda data: decode(pb.BulkSummarizeRequest, data),
            refuse=lambda name, error: pb.BulkSummarizeResponse(id=name, error=error),
            serve=self._bulk_item,
            draining=self._gate.draining,
        )
        async with aclosing(desk.answers(requests)) as answers:
            async for answer in answers:
                yield answer

    async def _bulk_item(self, item: pb.BulkSummarizeRequest) -> pb.BulkSummarizeResponse:
        job = bulk_summarize_job(item, self._gate.bounds, self._gate.clock())
        async with self._gate.until(job.deadline):
            summary, _ = await self._summarizer.summarize(job)
        answer = pb.BulkSummarizeResponse(id=item.id, summary=encode_summary(summary))
        return self._gate.bounds.sendable(answer)
