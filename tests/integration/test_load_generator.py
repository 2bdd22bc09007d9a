"""What the load generator reports is what a gRPC client would be told."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from tests.load.calls import Call, Load
from tests.load.generator import TRANSLATE, Generator, code_of
from tests.load.wire import Exchange, Wire

from khulasa.v1 import translation_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOGETHER = 150
"""Calls at once: more than libcurl lets onto a connection unless it is told to."""

_, SERVICE, METHOD = TRANSLATE.split("/")
Response = translation_pb2.TranslateResponse


class Translations:
    """Answers with as many segments as it was given contents; refuses, or waits, when told so."""

    def __init__(self) -> None:
        self.together = threading.Barrier(TOGETHER)
        self.released = threading.Event()

    def translate(
        self, request: translation_pb2.TranslateRequest, context: grpc.ServicerContext
    ) -> Response:
        """One call of Translate."""
        first = request.contents[0]
        if first == "refuse":
            context.abort_with_status(rpc_status.to_status(overloaded()))
        if first == "wait":
            self.released.wait(30)
        if first == "together":
            self.together.wait(30)
        response = Response()
        response.usage.segments = len(request.contents)
        return response

    def handlers(self) -> grpc.GenericRpcHandler:
        """As a server takes them."""
        handler = grpc.unary_unary_rpc_method_handler(
            self.translate,
            translation_pb2.TranslateRequest.FromString,
            Response.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler})


def overloaded() -> status_pb2.Status:
    """A refusal as the product's."""
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason="OVERLOADED", domain="khulasa"))
    code = grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    return status_pb2.Status(code=code, message="full", details=[detail])


@pytest.fixture(name="address")
def fixture_address() -> Iterator[str]:
    """Of a server that serves."""
    servicer = Translations()
    server = grpc.server(ThreadPoolExecutor(TOGETHER))
    server.add_generic_rpc_handlers((servicer.handlers(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    servicer.released.set()
    servicer.together.abort()
    server.stop(None).wait()


@contextmanager
def connected(address: str, connections: int = 2) -> Iterator[Wire]:
    """Connections that are open."""
    wire = Wire(address, connections)
    wire.connect()
    yield wire
    assert not wire.unanswered


def exchange(wire: Wire, content: str, seconds: float = 30.0) -> Exchange:
    """One call, ended."""
    message = translation_pb2.TranslateRequest(contents=[content]).SerializeToString()
    call = Exchange(TRANSLATE, message, seconds)
    wire.begin(call)
    until(wire, lambda: not wire.unanswered)
    return call


def until(wire: Wire, done: Callable[[], bool]) -> None:
    """Let it read and write until something is so."""
    limit = time.monotonic() + 60
    while not done():
        assert time.monotonic() < limit, "it takes too long"
        wire.pump(0.1)


def test_an_answer_comes_whole(address: str) -> None:
    """The response of a call is the message that the server sent."""
    with connected(address) as wire:
        answered = exchange(wire, "text")
    assert code_of(answered) == "OK"
    assert Response.FromString(answered.response).usage.segments == 1


def test_a_refusal_is_told_with_its_reason(address: str) -> None:
    """Code and ErrorInfo of a refusal come through, from trailers that have no body before them."""
    with connected(address) as wire:
        refused = exchange(wire, "refuse")
    assert (code_of(refused), refused.reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED")


def test_a_call_ends_at_its_deadline(address: str) -> None:
    """A call that is never answered ends when its time is over, and the connection lives on."""
    with connected(address, 1) as wire:
        before = time.monotonic()
        waited = exchange(wire, "wait", 0.3)
        assert 0.2 < waited.ended - before < 10
        assert code_of(waited) == "DEADLINE_EXCEEDED"
        assert code_of(exchange(wire, "text")) == "OK"


def test_calls_do_not_wait_for_each_other(address: str) -> None:
    """Many calls are at the server at once on one connection: none waits in the generator."""
    with connected(address, 1) as wire:
        message = translation_pb2.TranslateRequest(contents=["together"]).SerializeToString()
        calls = [Exchange(TRANSLATE, message, 60.0) for _ in range(TOGETHER)]
        for call in calls:
            wire.begin(call)
        until(wire, lambda: not wire.unanswered)
    assert {code_of(call) for call in calls} == {"OK"}


def test_no_server_is_an_error() -> None:
    """Where nobody listens, connecting raises instead of a load of failures."""
    with pytest.raises(ConnectionError):
        Wire("127.0.0.1:1", 2).connect()


def test_a_closed_loop_reports_in_the_order_given(address: str) -> None:
    """Each call of a closed loop has its own outcome, at the place where it was given."""
    contents = [("text",) * size for size in (3, 1, 2)] + [("refuse",)]
    load = Load(address, tuple(map(Call, contents)), in_flight=2)
    with connected(address) as wire:
        report = Generator(load, wire).run()
    assert [outcome.segments for outcome in report.outcomes] == [3, 1, 2, 0]
    assert [outcome.reason for outcome in report.outcomes] == ["", "", "", "OVERLOADED"]


def test_a_closed_loop_of_many_calls_ends(address: str) -> None:
    """However quickly answers come, the next call is no deeper in the stack than the last one."""
    load = Load(address, (Call(("text",)),) * 2_000, in_flight=16)
    with connected(address) as wire:
        report = Generator(load, wire).run()
    assert {outcome.code for outcome in report.outcomes} == {"OK"}


def test_an_open_loop_sends_on_time(address: str) -> None:
    """Calls of an open loop go out when they are due, though one before them is not answered."""
    calls = (Call(("wait",)), Call(("text",)), Call(("text",)))
    load = Load(address, calls, deadline=1.0, arrivals=(0.0, 0.05, 0.2))
    with connected(address) as wire:
        report = Generator(load, wire).run()
    assert [outcome.code for outcome in report.outcomes] == ["DEADLINE_EXCEEDED", "OK", "OK"]
    waited, *answered = report.outcomes
    assert answered[0].sent >= 0.05
    assert answered[1].sent >= 0.2
    assert max(outcome.sent + outcome.latency for outcome in answered) < waited.latency
