"""The gRPC port: what is registered on it, and under which limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from khulasa_server.observability.grpc_metrics import Method
from khulasa_server.observability.http import bind, split_address
from khulasa_server.rpc import models, summarization, translation
from khulasa_server.rpc.method_names import methods_of
from khulasa_server.rpc.metrics_interceptor import MetricsInterceptor
from khulasa_server.rpc.request_id import RequestIdInterceptor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from google.protobuf.descriptor import ServiceDescriptor

    from khulasa_server.config import Settings
    from khulasa_server.observability.grpc_metrics import GrpcMetrics
    from khulasa_server.rpc.handlers import Handler
    from khulasa_server.rpc.health import HealthBoard

HEALTH: Final = cast("ServiceDescriptor", health_pb2.DESCRIPTOR.services_by_name["Health"])
REFLECTION: Final = cast(
    "ServiceDescriptor", reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"]
)
REFLECTION_V1: Final = "grpc.reflection.v1.ServerReflection"

MAX_STREAMS: Final = 1_000
"""A connection's streams; beyond it callers wait unseen, so admission must be the limit."""
MIN_PING_SECONDS: Final = 20.0
"""How often a client may ping before the connection ends; the client library does every 330 s."""
MAX_METADATA_BYTES: Final = 8 * 1024
"""Of a call, names and values; beyond it some, beyond twice as much all calls are refused."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A service of ours with its handlers."""

    descriptor: ServiceDescriptor
    handlers: dict[str, Handler]


def build_server(
    settings: Settings,
    services: list[Registered],
    board: HealthBoard,
    metrics: GrpcMetrics,
    clock: Callable[[], float],
    *,
    guards: Iterable[grpc.aio.ServerInterceptor] = (),
) -> grpc.aio.Server:
    """A server with everything registered, not yet bound; `guards` are what calls have to pass."""
    described: list[ServiceDescriptor] = [*(each.descriptor for each in services), HEALTH]
    described += [REFLECTION] if settings.reflection else []
    methods = [method for service in described for method in methods_of(service)]
    if settings.reflection:
        methods.append(Method("bidi_stream", REFLECTION_V1, "ServerReflectionInfo"))
    server = grpc.aio.server(
        interceptors=[
            MetricsInterceptor(metrics, methods, clock),
            RequestIdInterceptor(),
            *guards,
        ],
        options=list(_channel_options(settings)),
    )
    for service in services:
        server.add_generic_rpc_handlers((_generic(service),))
    health_pb2_grpc.add_HealthServicer_to_server(board.servicer, server)
    if settings.reflection:
        _add_reflection(server, [service.full_name for service in described])
    return server


def bind_server(
    server: grpc.aio.Server, listen: str, credentials: grpc.ServerCredentials | None = None
) -> tuple[str, int]:
    """Bind the port, with TLS if there are credentials; what a client on this machine dials.

    Raises:
        OSError: the address is in use or not ours; its message names it.
    """
    host, wanted = split_address(listen)
    if wanted:
        # gRPC's library would write its own lines to standard error, and say less.
        bind(listen).close()
    try:
        port = (
            server.add_secure_port(listen, credentials)
            if credentials
            else server.add_insecure_port(listen)
        )
    except RuntimeError as error:
        raise OSError(f"cannot listen on {listen}: the address is in use or not ours") from error
    return ("127.0.0.1" if host in {"", "::", "0.0.0.0"} else host), port  # noqa: S104 - compared


def _generic(service: Registered) -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(service.descriptor.full_name, service.handlers)


def _add_reflection(server: grpc.aio.Server, names: list[str]) -> None:
    servicer = reflection.aio.ReflectionServicer([*names, REFLECTION_V1])
    add = reflection_pb2_grpc.add_ServerReflectionServicer_to_server
    add(servicer, server)  # type: ignore[no-untyped-call]  # the stubs leave it out
    # The library registers v1alpha only; v1 has the same messages.
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(REFLECTION_V1, {"ServerReflectionInfo": handler}),)
    )


def _channel_options(settings: Settings) -> Iterator[tuple[str, int]]:
    yield "grpc.max_receive_message_length", settings.max_message_bytes
    yield "grpc.max_send_message_length", settings.max_message_bytes
    yield "grpc.max_metadata_size", MAX_METADATA_BYTES
    yield "grpc.absolute_max_metadata_size", 2 * MAX_METADATA_BYTES
    # On, a second server would bind the same port without an error and steal calls.
    yield "grpc.so_reuseport", 0
    yield "grpc.max_concurrent_streams", MAX_STREAMS
    yield "grpc.max_allowed_incoming_connections", settings.max_connections
    yield "grpc.max_connection_age_ms", round(settings.max_connection_age * 1000)
    yield "grpc.max_connection_age_grace_ms", round(settings.max_connection_age_grace * 1000)
    yield "grpc.http2.min_ping_interval_without_data_ms", round(MIN_PING_SECONDS * 1000)
    yield "grpc.keepalive_permit_without_calls", 1
    # With probing on, a stream that nobody reads still takes megabytes.
    yield "grpc.http2.bdp_probe", 0


SERVICES: Final = (translation.SERVICE, summarization.SERVICE, models.SERVICE)
