"""How metrics name methods and codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import grpc

from khulasa_server.observability.grpc_metrics import Method

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import ServiceDescriptor

_KINDS: Final = {
    (False, False): "unary",
    (True, False): "client_stream",
    (False, True): "server_stream",
    (True, True): "bidi_stream",
}

OTHER: Final = "_other"
"""Stands for every service and method that is not served here, so that no caller makes series."""

CODES: Final[dict[grpc.StatusCode, str]] = {
    code: {"OK": "OK", "CANCELLED": "Canceled"}.get(code.name, code.name.title().replace("_", ""))
    for code in grpc.StatusCode
}
"""Spelled as Go does: dashboards and alerts written for Go servers match these literally."""


def kind_of(*, request_streaming: bool, response_streaming: bool) -> str:
    """`unary`, `client_stream`, `server_stream` or `bidi_stream`."""
    return _KINDS[request_streaming, response_streaming]


def methods_of(service: ServiceDescriptor) -> Iterator[Method]:
    """Every method that a service declares."""
    for method in service.methods:
        kind = kind_of(
            request_streaming=method.client_streaming, response_streaming=method.server_streaming
        )
        yield Method(kind, service.full_name, method.name)
