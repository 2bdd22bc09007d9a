"""Use every message and every method of the generated code; print the runtimes' versions.

Run as a script by test_runtimes, with the oldest and the newest runtimes, warnings being errors.
"""

from __future__ import annotations

import asyncio
import json
import sys
from concurrent import futures
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from khulasa.v1 import (
    common_pb2,
    model_pb2,
    model_pb2_grpc,
    summarization_pb2,
    summarization_pb2_grpc,
    translation_pb2,
    translation_pb2_grpc,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Method = Callable[..., Any]
    Field = Any  # two types, by runtime

MESSAGES = [common_pb2, translation_pb2, summarization_pb2, model_pb2]
SERVICES = [
    (translation_pb2, translation_pb2_grpc),
    (summarization_pb2, summarization_pb2_grpc),
    (model_pb2, model_pb2_grpc),
]
TEXT = "خلاصة"


def fill(message: Message) -> Message:
    """Set every field; of a oneof the last one stays."""
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        repeated = hasattr(value, "extend")  # descriptors say it differently over the years
        if field.message_type is None:
            value.append(scalar(field)) if repeated else setattr(message, field.name, scalar(field))
        elif not repeated:
            value.SetInParent()
            fill(value)
        elif field.message_type.full_name != "google.protobuf.Any":
            fill(value.add())
    return message


def scalar(field: Field) -> object:
    """A value other than the default."""
    kinds = {FieldDescriptor.CPPTYPE_STRING: TEXT, FieldDescriptor.CPPTYPE_DOUBLE: 0.5}
    return kinds.get(field.cpp_type, 1)


def message_class(descriptor: Descriptor) -> type[Message]:
    """The class of a message."""
    kinds: list[type[Message]] = [
        getattr(module, descriptor.name) for module in MESSAGES if hasattr(module, descriptor.name)
    ]
    return kinds[0]


def check_messages() -> int:
    """Every message survives serialization with every field set; returns how many there are."""
    names = [
        (module, name) for module in MESSAGES for name in module.DESCRIPTOR.message_types_by_name
    ]
    for module, name in names:
        kind = getattr(module, name)
        message = fill(kind())
        assert kind.FromString(message.SerializeToString()) == message != kind(), name
    return len(names)


def servicer(base: type, descriptor: ServiceDescriptor) -> object:
    """Answers every method with one filled message, streaming or not."""

    def one(answer: type[Message]) -> Method:
        return lambda _self, _request, _context: fill(answer())

    def many(answer: type[Message]) -> Method:
        return lambda _self, _request, _context: iter([fill(answer())])

    methods = {
        method.name: (many if "Stream" in method.name or "Bulk" in method.name else one)(
            message_class(method.output_type)
        )
        for method in descriptor.methods
    }
    return type("Servicer", (base,), methods)()


def serve() -> tuple[grpc.Server, int]:
    """A server with all services, on a free port."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    for messages, code in SERVICES:
        for name, descriptor in messages.DESCRIPTOR.services_by_name.items():
            add = getattr(code, f"add_{name}Servicer_to_server")
            add(servicer(getattr(code, f"{name}Servicer"), descriptor), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def calls(
    channel: grpc.Channel | grpc.aio.Channel,
) -> list[tuple[Method, Any, Message, Message]]:
    """Every method of every stub: how to call it, its descriptor, its request, its answer."""
    return [
        (
            getattr(getattr(code, f"{name}Stub")(channel), method.name),
            method,
            fill(message_class(method.input_type)()),
            fill(message_class(method.output_type)()),
        )
        for messages, code in SERVICES
        for name, descriptor in messages.DESCRIPTOR.services_by_name.items()
        for method in descriptor.methods
    ]


def check_sync(port: int) -> int:
    """Every method answers over a channel; returns how many there are."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        methods = calls(channel)
        for call, method, request, expected in methods:
            argument = iter([request]) if "Bulk" in method.name else request
            answer = call(argument, timeout=20)
            answers = [answer] if isinstance(answer, Message) else list(answer)
            assert answers == [expected], method.full_name
    return len(methods)


async def check_async(port: int) -> None:
    """The same over an asyncio channel."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        for call, method, request, expected in calls(channel):
            argument = iter([request]) if "Bulk" in method.name else request
            answer = call(argument, timeout=20)
            streams = "Bulk" in method.name or "Stream" in method.name
            answers = [item async for item in answer] if streams else [await answer]
            assert answers == [expected], method.full_name


def main() -> None:
    """Do all of it."""
    messages = check_messages()
    server, port = serve()
    methods = check_sync(port)
    asyncio.run(check_async(port))
    server.stop(None).wait()
    found = {name: version(name) for name in ("grpcio", "protobuf", "googleapis-common-protos")}
    sys.stdout.write(json.dumps(found | {"methods": methods, "messages": messages}))


if __name__ == "__main__":
    main()
