"""The load generator: a process of its own, so that it is not the server it measures.

Reads a `Load` as JSON from stdin, writes a `Report` as JSON to stdout. In an open loop calls are
sent when they are due, whatever became of those before, and latency counts from then on.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Final, NamedTuple

import grpc
from tests.load.calls import OK, Call, Load, Outcome, Report
from tests.load.wire import Exchange, Wire

from khulasa.v1 import common_pb2, summarization_pb2, translation_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHANNELS: Final = 4
"""Connections: as from a few clients."""
TRANSLATE: Final = "/khulasa.v1.TranslationService/Translate"
SUMMARIZE: Final = "/khulasa.v1.SummarizationService/Summarize"
_CODES: Final = {code.value[0]: code.name for code in grpc.StatusCode}
_TIMED_OUT: Final = 28
"""libcurl's code."""

Message = translation_pb2.TranslateRequest | summarization_pb2.SummarizeRequest


class _Sent(NamedTuple):
    """A call that went out.

    Args:
        due: when it should have.
        at: when it did.
        exchange: what became of it.
    """

    due: float
    at: float
    exchange: Exchange


class Generator:
    """Sends one load. What came is looked at once all has: it would take the server's time.

    Args:
        load: what to send.
        wire: on which.
    """

    def __init__(self, load: Load, wire: Wire) -> None:
        self._load = load
        self._wire = wire
        self._messages = [message_of(call).SerializeToString() for call in load.calls]
        self._sent: dict[int, _Sent] = {}
        self._lateness: list[float] = []
        self._started = 0.0

    def run(self) -> Report:
        """Send everything and wait for every answer."""
        cpu = time.process_time()
        self._started = time.monotonic()
        if self._load.arrivals is None:
            self._closed()
        else:
            self._open(self._load.arrivals)
        seconds, cpu = time.monotonic() - self._started, time.process_time() - cpu
        return Report(
            seconds=seconds,
            cpu_seconds=cpu,
            lateness=_quantile(self._lateness, 0.99),
            outcomes=tuple(self._outcome(place) for place in range(len(self._messages))),
        )

    def _closed(self) -> None:
        places = iter(range(len(self._messages)))
        for _ in range(min(self._load.in_flight, len(self._messages))):
            self._send_next(places)
        self._await_all()

    def _send_next(self, places: Iterator[int]) -> None:
        place = next(places, None)
        if place is not None:
            self._send(place, time.monotonic(), lambda: self._send_next(places))

    def _open(self, arrivals: tuple[float, ...]) -> None:
        for place, arrival in enumerate(arrivals):
            due = self._started + arrival
            self._wire.pump(0.0)
            while (left := due - time.monotonic()) > 0:
                self._wire.pump(left)
            self._lateness.append(time.monotonic() - due)
            self._send(place, due, lambda: None)
        self._await_all()

    def _await_all(self) -> None:
        while self._wire.unanswered:
            self._wire.pump(1.0)

    def _send(self, place: int, due: float, ended: Callable[[], None]) -> None:
        now = time.monotonic()
        path = SUMMARIZE if self._load.calls[place].summarize else TRANSLATE
        remaining = max(0.001, self._load.deadline - (now - due))
        exchange = Exchange(path, self._messages[place], remaining)
        self._sent[place] = _Sent(due, now, exchange)
        self._wire.begin(exchange, ended)

    def _outcome(self, place: int) -> Outcome:
        due, at, exchange = self._sent[place]
        latency, sent = exchange.ended - due, at - self._started
        code = code_of(exchange)
        if code != OK:
            return Outcome(code, exchange.reason, latency, sent)
        kind = (
            summarization_pb2.SummarizeResponse
            if self._load.calls[place].summarize
            else translation_pb2.TranslateResponse
        )
        return _answered(kind.FromString(exchange.response), latency, sent)


def code_of(exchange: Exchange) -> str:
    """Name of the gRPC status of a call that ended, as a gRPC client would tell it."""
    if exchange.failure == _TIMED_OUT:
        return grpc.StatusCode.DEADLINE_EXCEEDED.name
    if exchange.failure:
        return grpc.StatusCode.UNAVAILABLE.name
    if exchange.status is None:
        return grpc.StatusCode.UNKNOWN.name
    return _CODES[exchange.status]


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


def _quantile(values: list[float], part: float) -> float:
    return sorted(values)[round(part * (len(values) - 1))] if values else 0.0


def main() -> None:
    """Run the load on stdin."""
    load = Load.from_json(json.load(sys.stdin))
    wire = Wire(load.address, CHANNELS)
    wire.connect()
    json.dump(Generator(load, wire).run().to_json(), sys.stdout)


if __name__ == "__main__":
    main()
