"""The port that Prometheus and the kubelet ask."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import aiohttp
import pytest
from blockbuster import blockbuster_ctx
from prometheus_client import CollectorRegistry, Gauge, Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from khulasa_server.observability.http import HttpPort, Readiness, split_address
from khulasa_server.observability.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


OPENMETRICS = "application/openmetrics-text; version=1.0.0"
PLAIN = "text/plain;version=0.0.4"


class Server:
    """An HTTP port under test and a client of it."""

    def __init__(self, client: aiohttp.ClientSession, base: str) -> None:
        self.client, self.base = client, base
        self.readiness = Readiness(ready=True)
        self.metrics = Metrics("1.2.3", CollectorRegistry())
        self.port = HttpPort(self.metrics, lambda: self.readiness)

    async def get(
        self, path: str, method: str = "GET", **headers: str
    ) -> tuple[int, str, aiohttp.ClientResponse]:
        """Status, body and the rest of an answer."""
        named = {key.replace("_", "-"): text for key, text in headers.items()}
        async with self.client.request(method, self.base + path, headers=named) as response:
            return response.status, await response.text(), response


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A port that listens on the loopback."""
    async with aiohttp.ClientSession() as client:
        started = Server(client, "")
        host, port = await started.port.start("127.0.0.1:0")
        started.base = f"http://{host}:{port}"
        yield started
        await started.port.close()


def families_in(body: str) -> Iterator[Metric]:
    """What a scraper reads."""
    families: Iterator[Metric] = text_string_to_metric_families(body)  # type: ignore[no-untyped-call]  # the library left it bare
    return families


async def test_plain_text_is_the_default(server: Server) -> None:
    """Without a preference, and for Prometheus 2's, the classic text format comes."""
    for headers in ({}, {"Accept": PLAIN}):
        status, body, response = await server.get("/metrics", **headers)
        assert status == 200
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert 'khulasa_build_info{python_version="' in body


async def test_openmetrics_comes_when_asked_for(server: Server) -> None:
    """Who accepts OpenMetrics gets what its parser reads to the end."""
    _, body, response = await server.get("/metrics", Accept=f"{OPENMETRICS},{PLAIN};q=0.5")

    assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    assert body.endswith("# EOF\n")
    names = {family.name for family in families_in(body)}
    assert "khulasa_queue_depth" in names


@pytest.mark.parametrize(("encoding", "expected"), [("gzip", "gzip"), ("identity", None)])
async def test_it_is_compressed_for_who_accepts_it(
    server: Server, encoding: str, expected: str | None
) -> None:
    """The body is gzipped if and only if the scraper says so."""
    _, body, response = await server.get("/metrics", Accept_Encoding=encoding)
    assert response.headers.get("Content-Encoding") == expected
    assert "khulasa_build_info" in body


async def test_each_scrape_shows_the_queues_of_its_moment(server: Server) -> None:
    """Gauges that mirror the scheduler are read at each scrape, on the event loop."""
    threads: list[asyncio.Task[object] | None] = []

    def lanes() -> dict[str, object]:
        threads.append(asyncio.current_task())
        return {}

    server.metrics.watch(lanes)  # type: ignore[arg-type]  # an empty mapping is enough
    await server.get("/metrics")
    await server.get("/metrics")
    assert len(threads) == 2
    assert None not in threads


async def test_liveness_is_there_whatever_readiness_says(server: Server) -> None:
    """While nothing is ready the process is alive all the same."""
    server.readiness = Readiness(ready=False)
    status, body, _ = await server.get("/livez")
    assert (status, body) == (200, '{"alive": true}')


async def test_readiness_says_what_is_missing(server: Server) -> None:
    """200 when required services serve, else 503, with each service that does not and why."""
    assert (await server.get("/readyz"))[:2] == (200, '{"ready": true, "waiting_for": {}}')

    assert "\nkhulasa_ready 1.0\n" in (await server.get("/metrics"))[1]
    missing = {"khulasa.v1.TranslationService": "model opus-mt-ar-en is being verified"}
    server.readiness = Readiness(ready=False, waiting_for=missing)
    async with server.client.get(server.base + "/readyz") as response:
        assert response.status == 503
        assert await response.json() == {"ready": False, "waiting_for": missing}
    assert "\nkhulasa_ready 0.0\n" in (await server.get("/metrics"))[1]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("HEAD", "/metrics", 200),
        ("HEAD", "/livez", 200),
        ("GET", "/", 404),
        ("GET", "/metrics/", 404),
        ("GET", "/favicon.ico", 404),
        ("POST", "/metrics", 405),
        ("DELETE", "/readyz", 405),
    ],
)
async def test_nothing_else_is_served(
    server: Server, method: str, path: str, expected: int
) -> None:
    """Only GET and HEAD, and only three paths."""
    assert (await server.get(path, method))[0] == expected


async def test_scrapes_are_rendered_beside_the_event_loop(server: Server) -> None:
    """Rendering thousands of series reads no file on the loop, not even those of the process."""
    gauge = Gauge("many", "Many series.", ["n"], registry=server.metrics.registry)
    for number in range(2000):
        gauge.labels(str(number)).set(number)
    with blockbuster_ctx():
        answers = await asyncio.gather(*[server.get("/metrics") for _ in range(8)])
    assert [(status, body.count("\nmany{")) for status, body, _ in answers] == [(200, 2000)] * 8


async def test_a_busy_port_is_named() -> None:
    """Starting on an address that is taken fails with a sentence that names it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        port = HttpPort(Metrics("1", CollectorRegistry()), lambda: Readiness(ready=True))
        with pytest.raises(OSError, match=f"cannot listen on {listen}"):
            await port.start(listen)
        await port.close()


@pytest.mark.parametrize("listen", ["[::]:0", "0.0.0.0:0", ":0", "localhost:0"])
async def test_every_usual_address_can_be_dialled(listen: str) -> None:
    """What start returns is reachable, for addresses that mean all interfaces too."""
    port = HttpPort(Metrics("1", CollectorRegistry()), lambda: Readiness(ready=True))
    host, number = await port.start(listen)
    async with aiohttp.ClientSession() as client, client.get(f"http://{host}:{number}/livez") as r:
        assert r.status == 200
    await port.close()


@pytest.mark.parametrize("listen", ["", "host", "host:", "host:x", "host:65536", "host:٣"])
def test_a_wrong_address_is_refused(listen: str) -> None:
    """What is not host:port is an error that repeats it."""
    with pytest.raises(ValueError, match="is not host:port"):
        split_address(listen)


@pytest.mark.parametrize(
    ("listen", "expected"),
    [("[::1]:80", ("::1", 80)), ("a.b:0", ("a.b", 0)), (":65535", ("", 65535))],
)
def test_addresses_are_split(listen: str, expected: tuple[str, int]) -> None:
    """Brackets around an IPv6 host are taken off."""
    assert split_address(listen) == expected
