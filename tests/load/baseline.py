"""What the servers that ours is compared with have in common: the one method, and their address."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import grpc

from khulasa.v1 import translation_pb2

if TYPE_CHECKING:
    from collections.abc import Callable


def translating(translate: Callable[..., Any]) -> tuple[grpc.GenericRpcHandler, ...]:
    """Handlers of a server that has `Translate` alone."""
    handler = grpc.unary_unary_rpc_method_handler(
        translate,
        request_deserializer=translation_pb2.TranslateRequest.FromString,
        response_serializer=translation_pb2.TranslateResponse.SerializeToString,
    )
    service = translation_pb2.DESCRIPTOR.services_by_name["TranslationService"].full_name
    return (grpc.method_handlers_generic_handler(service, {"Translate": handler}),)


def announce(port: int) -> None:
    """Tell the benchmark where to call, as the product does."""
    sys.stdout.write(json.dumps({"event": "serving", "grpc": f"127.0.0.1:{port}"}) + "\n")
    sys.stdout.flush()
