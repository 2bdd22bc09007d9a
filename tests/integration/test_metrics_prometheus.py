"""A real Prometheus over a real server: what it says after a known load is what happened."""

from __future__ import annotations

import asyncio
import bisect
import json
import math
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2

from khulasa.v1 import model_pb2, summarization_pb2, translation_pb2
from khulasa.v1.translation_pb2_grpc import TranslationServiceStub
from khulasa_server.observability.grpc_metrics import SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

ROOT = Path(__file__).parents[2]
FILES = ROOT / "helm" / "khulasa" / "files"
TOOLS = ROOT / "build" / "tools" / "prometheus" / "usr" / "bin"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

CALLS = 200
EVERY_WRONG = 5
PER_SECOND = 25
WINDOW = 6
TRANSLATIONS = 'grpc_service="khulasa.v1.TranslationService"'


@dataclass(frozen=True)
class Sent:
    """One call as its caller saw it."""

    code: grpc.StatusCode
    seconds: float
    queue_seconds: float = 0.0
    server_seconds: float = 0.0


@dataclass(frozen=True)
class Addresses:
    """Where the server under test listens."""

    grpc: str
    metrics: str


@dataclass(frozen=True)
class Prometheus:
    """The API of a running Prometheus."""

    session: aiohttp.ClientSession
    base: str

    async def get(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 - JSON
        """The `data` of an answer."""
        async with self.session.get(f"{self.base}/api/v1/{path}", params=parameters) as response:
            answer = await response.json()
        assert answer["status"] == "success", answer
        return answer["data"]

    async def vector(self, query: str, at: float | None = None) -> list[float]:
        """Values of an instant query, now or at a time."""
        when = {} if at is None else {"time": f"{at:.3f}"}
        data = await self.get("query", query=query, **when)
        return [float(sample["value"][1]) for sample in data["result"]]

    async def value(self, query: str, at: float | None = None) -> float:
        """The only value of an instant query."""
        (value,) = await self.vector(query, at)
        return value

    async def reaches(self, query: str, expected: float) -> None:
        """Until a query has a value; the timeout of the test bounds it."""
        while await self.vector(query) != [expected]:  # noqa: ASYNC110 - another process decides
            await asyncio.sleep(0.1)


@dataclass(frozen=True)
class Scene:
    """What was sent, and the Prometheus that watched."""

    sent: list[Sent]
    ended: float
    prometheus: Prometheus
    addresses: Addresses


def tool(name: str) -> str:
    """A program of Prometheus, or a skip that says how to get it."""
    found = shutil.which(name) or shutil.which(name, path=str(TOOLS))
    if found is None:
        pytest.skip(f"{name} is missing: run tests/tools/install_prometheus.py")
    return found


def free_port() -> int:
    """A port that nobody listens on now; Prometheus cannot choose one itself."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port: int = bound.getsockname()[1]
    return port


@asynccontextmanager
async def process(*command: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A child that is told to stop at the end, and waited for."""
    child = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield child
    finally:
        child.terminate()
        await child.wait()


@asynccontextmanager
async def running_server() -> AsyncIterator[Addresses]:
    """The server with the scripted engine on free ports."""
    settings = {
        "KHULASA_ENGINE": "scripted",
        "KHULASA_LISTEN": "127.0.0.1:0",
        "KHULASA_METRICS_LISTEN": "127.0.0.1:0",
        "KHULASA_DRAIN_DELAY": "0",
    }
    async with process(sys.executable, "-m", "khulasa_server", "serve", **settings) as child:
        assert child.stdout is not None
        line = json.loads(await child.stdout.readline())
        assert line["event"] == "serving"
        yield Addresses(line["grpc"], line["metrics"])


@asynccontextmanager
async def running_prometheus(directory: Path, target: str) -> AsyncIterator[Prometheus]:
    """A Prometheus with the chart's recording rules that scrapes `target` every second."""
    configuration = directory / "prometheus.yml"
    scrape = {"job_name": "khulasa", "static_configs": [{"targets": [target]}]}
    configuration.write_text(
        json.dumps(
            {
                "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                "rule_files": [str(FILES / "recording-rules.yaml")],
                "scrape_configs": [scrape],
            }
        )
    )
    listen = f"127.0.0.1:{free_port()}"
    command = [
        tool("prometheus"),
        f"--config.file={configuration}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address={listen}",
        "--enable-feature=exemplar-storage",
    ]
    async with process(*command), aiohttp.ClientSession() as session:
        prometheus = Prometheus(session, f"http://{listen}")
        await answers(session, f"http://{listen}/-/ready")
        await prometheus.reaches("up", 1)
        yield prometheus


async def answers(session: aiohttp.ClientSession, url: str) -> None:
    """Until a page answers 200; the timeout of the test bounds it."""
    while True:
        try:
            async with session.get(url) as response:
                if response.status == 200:
                    return
        except aiohttp.ClientConnectionError:
            pass
        await asyncio.sleep(0.1)


async def load(address: str) -> list[Sent]:
    """`CALLS` calls at a steady rate, every fifth of them wrong."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = TranslationServiceStub(channel)

        async def send(number: int) -> Sent:
            text = "" if number % EVERY_WRONG == 0 else f"هذه هي الجملة رقم {number}."
            start = time.monotonic()
            try:
                answer = await stub.Translate(
                    translation_pb2.TranslateRequest(contents=[text]),
                    metadata=(("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01"),),
                    timeout=60,
                )
            except grpc.aio.AioRpcError as error:
                return Sent(error.code(), time.monotonic() - start)
            usage = answer.usage
            return Sent(
                grpc.StatusCode.OK,
                time.monotonic() - start,
                usage.queue_duration.ToNanoseconds() / 1e9,
                usage.total_duration.ToNanoseconds() / 1e9,
            )

        tasks = []
        for number in range(CALLS):
            tasks.append(asyncio.create_task(send(number)))
            await asyncio.sleep(1 / PER_SECOND)
        return await asyncio.gather(*tasks)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """A server under a known load, with Prometheus having seen all of it."""
    directory = tmp_path_factory.mktemp("prometheus")
    async with running_server() as server, running_prometheus(directory, server.metrics) as watch:
        sent = await load(server.grpc)
        ended = time.time()
        await watch.reaches(f"sum(grpc_server_handled_total{{{TRANSLATIONS}}})", CALLS)
        yield Scene(sent, ended, watch, server)


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_request_rate_is_the_rate_of_requests(scene: Scene) -> None:
    """`rate` over the load is what was sent in a second."""
    query = f"sum(rate(grpc_server_handled_total{{{TRANSLATIONS}}}[{WINDOW}s]))"
    assert await scene.prometheus.value(query, scene.ended) == pytest.approx(PER_SECOND, rel=0.3)


async def test_every_code_is_counted_as_often_as_callers_saw_it(scene: Scene) -> None:
    """Counts by code equal those of the callers, exactly."""
    ok = [sent for sent in scene.sent if sent.code is grpc.StatusCode.OK]
    query = f"sum by (grpc_code) (grpc_server_handled_total{{{TRANSLATIONS}}}) > 0"
    data = await scene.prometheus.get("query", query=query)
    counted = {each["metric"]["grpc_code"]: float(each["value"][1]) for each in data["result"]}

    assert len(ok) == CALLS - CALLS // EVERY_WRONG
    assert counted == {"OK": len(ok), "InvalidArgument": CALLS - len(ok)}


async def test_the_error_ratio_is_the_share_of_errors(scene: Scene) -> None:
    """One call in five was wrong, and PromQL says so."""
    total = f"sum(rate(grpc_server_handled_total{{{TRANSLATIONS}}}[{WINDOW}s]))"
    wrong = total.replace("}", ', grpc_code!="OK"}')
    ratio = await scene.prometheus.value(f"{wrong} / {total}", scene.ended)
    assert ratio == pytest.approx(1 / EVERY_WRONG, abs=0.05)


async def test_the_p99_lies_between_what_server_and_callers_measured(scene: Scene) -> None:
    """The quantile is in a bucket between the time inside a call and the time around it."""
    selector = f'{TRANSLATIONS}, grpc_method="Translate"'
    buckets = f"sum by (le) (grpc_server_handling_seconds_bucket{{{selector}}})"
    p99 = await scene.prometheus.value(f"histogram_quantile(0.99, {buckets})")

    bounds = (0.0, *SECONDS, math.inf)
    inside = statistics.quantiles([sent.server_seconds for sent in scene.sent], n=100)[97]
    around = statistics.quantiles([sent.seconds for sent in scene.sent], n=100)[98]
    assert p99 >= bounds[bisect.bisect_left(bounds, inside) - 1]
    assert p99 <= bounds[bisect.bisect_left(bounds, around)]


async def test_queue_seconds_are_what_the_answers_said(scene: Scene) -> None:
    """The time that calls say they waited adds up to what the histogram holds."""
    waited = sum(sent.queue_seconds for sent in scene.sent)
    measured = await scene.prometheus.value("sum(khulasa_queue_wait_seconds_sum)")
    count = await scene.prometheus.value("sum(khulasa_queue_wait_seconds_count)")

    assert count == CALLS - CALLS // EVERY_WRONG
    assert measured == pytest.approx(waited, rel=0.01)


async def test_nothing_is_left_in_queues(scene: Scene) -> None:
    """After the load the gauges of the queues are back at 0, and the server is ready."""
    for name in ("queue_depth", "queue_estimated_seconds", "requests_in_flight"):
        assert await scene.prometheus.value(f"sum(khulasa_{name})") == 0
    assert await scene.prometheus.value("khulasa_ready") == 1


async def test_exemplars_arrive(scene: Scene) -> None:
    """Prometheus keeps the callers' trace id beside the bucket of the call."""
    data = await scene.prometheus.get(
        "query_exemplars",
        query="grpc_server_handling_seconds_bucket",
        start=str(scene.ended - 60),
        end=str(scene.ended + 60),
    )
    traces = {each["labels"]["trace_id"] for found in data for each in found["exemplars"]}
    assert traces == {TRACE}


async def test_every_method_and_code_is_there_from_the_start(scene: Scene) -> None:
    """Each method that the server's descriptors declare has all 17 codes, called or not."""
    codes = "count by (grpc_service, grpc_method) (grpc_server_handled_total)"
    data = await scene.prometheus.get("query", query=codes)
    counted = {
        (each["metric"]["grpc_service"], each["metric"]["grpc_method"]): float(each["value"][1])
        for each in data["result"]
    }
    declared = {
        (service.full_name, method.name)
        for file in (translation_pb2, summarization_pb2, model_pb2, health_pb2)
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert {("_other", "_other"), *declared} <= set(counted)
    assert set(counted.values()) == {len(grpc.StatusCode)}


async def test_promtool_finds_nothing_to_say(scene: Scene) -> None:
    """`promtool check metrics` is silent over a scrape of the server."""
    body = await scrape(scene)
    done = subprocess.run(  # noqa: ASYNC221 - nothing else runs on this loop
        [tool("promtool"), "check", "metrics"], input=body, check=False, capture_output=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


async def test_every_series_has_a_bounded_place(scene: Scene) -> None:
    """A scrape stays small, whatever was sent, and has no `_created` series."""
    body = (await scrape(scene)).decode()
    assert "_created" not in body
    assert len(body.splitlines()) < 3000


async def scrape(scene: Scene) -> bytes:
    """The text that the server gives to Prometheus."""
    url = f"http://{scene.addresses.metrics}/metrics"
    async with scene.prometheus.session.get(url) as response:
        assert response.status == 200
        return await response.read()


def dashboard_queries() -> Iterator[Any]:
    """Every query of the chart's dashboard, under the title of its panel."""
    dashboard = json.loads((FILES / "dashboard.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield pytest.param(target["expr"], id=f"{panel['id']} {panel['title']}")


@pytest.mark.parametrize("query", list(dashboard_queries()))
async def test_every_panel_of_the_dashboard_shows_something(scene: Scene, query: str) -> None:
    """Each query of the dashboard finds a number."""
    filled = query.replace("$__rate_interval", f"{WINDOW}s").replace("$namespace", ".*")
    values = await scene.prometheus.vector(filled.replace("$job", "khulasa"), scene.ended)
    assert any(math.isfinite(value) for value in values)


async def test_recording_rules_record(scene: Scene) -> None:
    """The chart's recording rules give numbers over real metrics, and the right ones."""
    ratio = await scene.prometheus.value("khulasa:errors:ratio_rate5m")
    refused = await scene.prometheus.value("khulasa:refused:ratio_rate5m")
    p99 = await scene.prometheus.vector(
        'khulasa:latency_seconds:p99_rate5m{grpc_method="Translate"}'
    )
    assert (ratio, refused) == (0, 0)
    assert [math.isfinite(value) for value in p99] == [True]
