"""A call that reaches a server as it stops, before any handler has seen it."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from khulasa.v1 import translation_pb2
from khulasa_client import CallCancelledError, Client, KhulasaError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

CALLS: Final = 8
HELD_SECONDS: Final = 0.5
"""In which the calls arrive, and no handler can begin."""


async def translate(
    request: translation_pb2.TranslateRequest, _context: object
) -> translation_pb2.TranslateResponse:
    """The text itself, at once."""
    translation = translation_pb2.Translation(text=request.contents[0])
    return translation_pb2.TranslateResponse(translations=[translation])


SERVICE: Final = grpc.method_handlers_generic_handler(
    "khulasa.v1.TranslationService",
    {
        "Translate": grpc.unary_unary_rpc_method_handler(
            translate,
            translation_pb2.TranslateRequest.FromString,
            translation_pb2.TranslateResponse.SerializeToString,
        )
    },
)


class Host:
    """A gRPC server on an event loop, and in a thread, of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._start(), self.loop).result(30)

    async def _start(self) -> int:
        self.server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        self.server.add_generic_rpc_handlers((SERVICE,))
        healthy = health.aio.HealthServicer()
        await healthy.set("khulasa.v1.ModelService", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(healthy, self.server)
        port = self.server.add_insecure_port("127.0.0.1:0")
        await self.server.start()
        return port

    def stop_with_calls_unseen(self) -> None:
        """Stand still while calls arrive, then stop before a handler can begin."""
        held = threading.Event()

        def hold() -> None:
            held.set()
            time.sleep(HELD_SECONDS)
            self.stopping = self.loop.create_task(self.server.stop(5))

        self.loop.call_soon_threadsafe(hold)
        assert held.wait(30)

    def close(self) -> None:
        """End the thread."""
        asyncio.run_coroutine_threadsafe(self.server.stop(0), self.loop).result(30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(30)
        self.loop.close()


@contextmanager
def two_servers(*, retries: bool) -> Iterator[tuple[Host, Client]]:
    """The first of two, and a client of both that has called each."""
    with ExitStack() as stack:
        hosts = [Host(), Host()]
        for host in hosts:
            stack.callback(host.close)
        target = "ipv4:" + ",".join(f"127.0.0.1:{host.port}" for host in hosts)
        client = stack.enter_context(Client(target, retries=retries))
        for _ in range(2 * len(hosts)):
            client.translate("كتاب")
        yield hosts[0], client


def outcomes(client: Client) -> list[KhulasaError | str]:
    """What some calls at once come to."""

    def call(number: int) -> KhulasaError | str:
        try:
            return client.translate(f"كتاب {number}", timeout=30).text
        except KhulasaError as error:
            return error

    with ThreadPoolExecutor(CALLS) as pool:
        return list(pool.map(call, range(CALLS)))


@pytest.mark.parametrize("retries", [True, False])
def test_calls_that_a_stopping_server_never_saw_are_sent_again(*, retries: bool) -> None:
    """With retries the other server answers every one; without them gRPC's own word arrives."""
    with two_servers(retries=retries) as (first, client):
        first.stop_with_calls_unseen()
        came = outcomes(client)
    failures = [each for each in came if isinstance(each, KhulasaError)]
    if retries:
        assert came == [f"كتاب {number}" for number in range(CALLS)]
    else:
        # Until gRPC says UNAVAILABLE of them, as it is about to.
        assert failures
        assert {type(each) for each in failures} <= {CallCancelledError, UnavailableError}
