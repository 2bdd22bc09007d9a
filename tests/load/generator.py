"""The load generator: a process of its own, so that it is not the server it measures.

Reads a `Load` as JSON from stdin, writes a `Report` as JSON to stdout. In an open loop calls are
sent when they are due, whatever became of those before, and latency counts from then on.
"""

from __future__ import annotations

import asyncio
import json
import selectors
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from tests.load.calls import OK, Call, Load, Outcome, Report

from khulasa.v1 import common_pb2, summarization_pb2, translation_pb2
from khulasa.v1.summarization_pb2_grpc import SummarizationServiceStub
from khulasa.v1.translation_pb2_grpc import TranslationServiceStub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

CHANNELS: Final = 4
"""Connections: as from a few clients."""
_OPTIONS: Final = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
)

Message = translation_pb2.TranslateRequest | summarization_pb2.SummarizeRequest


class Generator:
    """Sends one load.

    Args:
        load: what to send.
        channels: on which.
    """

    def __init__(self, load: Load, channels: list[grpc.aio.Channel]) -> None:
        self._load = load
        self._messages = [message_of(call) for call in load.calls]
        self._translate = [TranslationServiceStub(channel).Translate for channel in channels]
        self._summarize = [SummarizationServiceStub(channel).Summarize for channel in channels]
        self._outcomes: dict[int, Outcome] = {}
        self._lateness: list[float] = []
        self._started = 0.0

    async def run(self) -> Report:
        """Send everything and wait for every answer."""
        cpu = time.process_time()
        self._started = time.monotonic()
        await (self._closed() if self._load.arrivals is None else self._open(self._load.arrivals))
        return Report(
            seconds=time.monotonic() - self._started,
            cpu_seconds=time.process_time() - cpu,
            lateness=_quantile(self._lateness, 0.99),
            outcomes=tuple(self._outcomes[i] for i in range(len(self._messages))),
        )

    async def _closed(self) -> None:
        places = iter(range(len(self._messages)))
        senders = min(self._load.in_flight, len(self._messages))
        await asyncio.gather(*(self._send_all(places) for _ in range(senders)))

    async def _send_all(self, places: Iterator[int]) -> None:
        for place in places:
            await self._send(place, time.monotonic())

    async def _open(self, arrivals: tuple[float, ...]) -> None:
        tasks = []
        for place, arrival in enumerate(arrivals):
            due = self._started + arrival
            delay = due - time.monotonic()
            if delay > 0:
                await asyncio.sleep(delay)
            self._lateness.append(time.monotonic() - due)
            tasks.append(asyncio.ensure_future(self._send(place, due)))
        await asyncio.gather(*tasks)

    async def _send(self, place: int, due: float) -> None:
        sent = time.monotonic() - self._started
        stubs: Sequence[Callable[..., Any]] = (
            self._summarize if self._load.calls[place].summarize else self._translate
        )
        stub = stubs[place % len(stubs)]
        remaining = max(0.001, self._load.deadline - (time.monotonic() - due))
        try:
            response = await stub(self._messages[place], timeout=remaining)
        except grpc.aio.AioRpcError as error:
            latency = time.monotonic() - due
            self._outcomes[place] = Outcome(error.code().name, _reason(error), latency, sent)
        else:
            self._outcomes[place] = _answered(response, time.monotonic() - due, sent)


def message_of(call: Call) -> Message:
    """The request of a call."""
    options = common_pb2.Options(
        cache_mode=common_pb2.CACHE_MODE_BYPASS if call.bypass else common_pb2.CACHE_MODE_USE
    )
    if call.max_output_tokens:
        options.max_output_tokens = call.max_output_tokens
    if not call.summarize:
        return translation_pb2.TranslateRequest(contents=call.contents, options=options)
    return summarization_pb2.SummarizeRequest(
        text=call.contents[0],
        language_code="ar",
        target_language_code="en" if call.onward else "",
        options=options,
    )


def _answered(
    response: translation_pb2.TranslateResponse | summarization_pb2.SummarizeResponse,
    latency: float,
    sent: float,
) -> Outcome:
    usage = response.usage
    return Outcome(
        OK,
        "",
        latency,
        sent,
        segments=usage.segments,
        tokens=usage.input_tokens + usage.output_tokens,
        queue=usage.queue_duration.ToNanoseconds() / 1e9,
        inference=usage.inference_duration.ToNanoseconds() / 1e9,
        total=usage.total_duration.ToNanoseconds() / 1e9,
    )


def _reason(error: grpc.aio.AioRpcError) -> str:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it reads what aio has, too
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return ""


def _quantile(values: list[float], part: float) -> float:
    return sorted(values)[round(part * (len(values) - 1))] if values else 0.0


async def main() -> None:
    """Run the load on stdin."""
    load = Load.from_json(json.load(sys.stdin))
    channels = [grpc.aio.insecure_channel(load.address, options=_OPTIONS) for _ in range(CHANNELS)]
    for channel in channels:
        await channel.channel_ready()
    report = await Generator(load, channels).run()
    json.dump(report.to_json(), sys.stdout)
    for channel in channels:
        await channel.close()


def punctual() -> asyncio.AbstractEventLoop:
    """An event loop whose timers are exact to microseconds.

    The usual one, over `epoll`, rounds each wait up to a whole millisecond: calls would go out that
    much late, and what they are late is counted as the server's.
    """
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=punctual) as runner:
        runner.run(main())
