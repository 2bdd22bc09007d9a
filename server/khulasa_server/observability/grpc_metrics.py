"""The `grpc_server_*` family with the names and labels of go-grpc-middleware.

This file knows names only; the interceptor in `rpc` knows calls and codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from prometheus_client import Counter, Histogram

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from prometheus_client import CollectorRegistry

_METHOD: Final = ("grpc_type", "grpc_service", "grpc_method")
SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 90, 120)
"""Buckets for anything a caller waits for; generation outlasts the usual 10 s."""


class Method(NamedTuple):
    """One RPC as metrics name it.

    Args:
        kind: `unary`, `client_stream`, `server_stream` or `bidi_stream`.
        service: full name, such as `khulasa.v1.TranslationService`.
        name: such as `Translate`.
    """

    kind: str
    service: str
    name: str


class MethodSeries(NamedTuple):
    """The series of one method, looked up once."""

    started: Counter
    received: Counter
    sent: Counter
    seconds: Histogram
    handled: Mapping[str, Counter]
    """By Go-spelled code."""


class GrpcMetrics:
    """What a gRPC server counts.

    Args:
        registry: where the series are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._started = Counter(
            "grpc_server_started_total",
            "RPCs started on the server.",
            _METHOD,
            registry=registry,
        )
        self._handled = Counter(
            "grpc_server_handled_total",
            "RPCs completed on the server, whatever their outcome.",
            (*_METHOD, "grpc_code"),
            registry=registry,
        )
        self._received = Counter(
            "grpc_server_msg_received_total",
            "Messages received by the server.",
            _METHOD,
            registry=registry,
        )
        self._sent = Counter(
            "grpc_server_msg_sent_total",
            "Messages sent by the server.",
            _METHOD,
            registry=registry,
        )
        self._seconds = Histogram(
            "grpc_server_handling_seconds",
            "Time from the start of an RPC to its outcome.",
            _METHOD,
            buckets=SECONDS,
            registry=registry,
        )

    def series_of(self, method: Method, codes: Sequence[str]) -> MethodSeries:
        """The series of a method; from now on each of them is there, at 0."""
        return MethodSeries(
            started=self._started.labels(*method),
            received=self._received.labels(*method),
            sent=self._sent.labels(*method),
            seconds=self._seconds.labels(*method),
            handled={code: self._handled.labels(*method, code) for code in codes},
        )
