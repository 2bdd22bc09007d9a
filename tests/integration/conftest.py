"""A whole server on the test's event loop, its engines scripted, behind real channels."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

import aiohttp
import grpc
import pytest
import pytest_asyncio
import structlog
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from khulasa.v1 import (
    model_pb2_grpc,
    summarization_pb2_grpc,
    translation_pb2,
    translation_pb2_grpc,
)
from khulasa_server.config import Settings
from khulasa_server.engines import proving
from khulasa_server.engines.scripted import Call, Script, ScriptedEngine, transliterate
from khulasa_server.server import Server
from khulasa_server.tasks.catalog import ModelState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
    from contextlib import AbstractAsyncContextManager

    from google.protobuf.any_pb2 import Any as AnyMessage
    from google.protobuf.message import Message

    from khulasa_server.bundles.manifest import Manifest
    from khulasa_server.scheduling import Statistics

Kind = TypeVar("Kind", bound="Message")

SENTENCE: Final = "ذهب الولد إلى المدرسة"
"""What every server under test translates rightly."""
TRANSLATOR: Final = "demo-marian-ar-en"
SUMMARIZER: Final = "demo-mt5-ar-summary"
SETTINGS: Final[dict[str, Any]] = {
    "engine": "scripted",
    "listen": "127.0.0.1:0",
    "metrics_listen": "127.0.0.1:0",
    "threads": "2x1!",
    "drain_delay": 0.0,
    "drain_grace": 20.0,
}


@dataclass(frozen=True)
class Fault:
    """A `google.rpc.Status`, and the trailing metadata of the call that ended with it."""

    code: grpc.StatusCode
    message: str
    details: tuple[AnyMessage, ...]
    trailers: dict[str, str | bytes]

    def detail(self, kind: type[Kind]) -> Kind:
        """The one detail of a kind; empty where there is none."""
        found = kind()
        matching = [detail for detail in self.details if detail.Unpack(found)]
        assert len(matching) <= 1, "each kind of detail at most once"
        return found

    @cached_property
    def info(self) -> error_details_pb2.ErrorInfo:
        """Reason, domain and metadata."""
        return self.detail(error_details_pb2.ErrorInfo)

    @property
    def reason(self) -> str:
        """The reason, which must be of our domain."""
        assert self.info.domain == "khulasa"
        return str(self.info.reason)

    @property
    def metadata(self) -> dict[str, str]:
        """What the message says of values."""
        return dict(self.info.metadata)

    @property
    def field(self) -> str:
        """Path of the one field at fault; empty where none is."""
        violations = self.detail(error_details_pb2.BadRequest).field_violations
        assert len(violations) <= 1
        return "".join(violation.field for violation in violations)

    @property
    def request_id(self) -> str:
        """Of `RequestInfo`."""
        return str(self.detail(error_details_pb2.RequestInfo).request_id)

    @property
    def retry_seconds(self) -> float:
        """Of `RetryInfo`; 0 where there is none."""
        delay = self.detail(error_details_pb2.RetryInfo).retry_delay
        return float(delay.seconds + delay.nanos / 1e9)


_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


def fault_in(status: status_pb2.Status) -> Fault:
    """What a bulk answer carries."""
    return Fault(_CODES[status.code], status.message, tuple(status.details), {})


def fault_of(error: grpc.aio.AioRpcError) -> Fault:
    """What a failed call carries."""
    trailers = dict(error.trailing_metadata() or ())
    status = status_pb2.Status()
    rich = trailers.get("grpc-status-details-bin", b"")
    assert isinstance(rich, bytes)
    status.ParseFromString(rich)
    if rich:
        assert status.code == error.code().value[0]
        assert status.message == error.details()
    return Fault(error.code(), error.details() or "", tuple(status.details), trailers)


async def refusal(call: Awaitable[object]) -> Fault:
    """How a call fails; a call that does not is a failed test."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return fault_of(caught.value)


@dataclass
class Gate:
    """Holds every batch until it is opened; `entered` counts those that came."""

    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    opened: threading.Event = field(default_factory=threading.Event)

    def hold(self, _call: Call) -> None:
        """For `Script.before`."""
        self.entered.release()
        assert self.opened.wait(30), "the test never opened the gate"

    def wait(self) -> None:
        """Until a batch is being held; call it in a thread."""
        assert self.entered.acquire(timeout=30), "no batch came"


@dataclass
class Probe:
    """What a probe answered."""

    status: int
    body: Any


@dataclass
class Service:
    """A running server and a channel to it."""

    server: Server
    channel: grpc.aio.Channel
    starting: asyncio.Future[None]

    @cached_property
    def translation(self) -> translation_pb2_grpc.TranslationServiceAsyncStub:
        """Stub."""
        return translation_pb2_grpc.TranslationServiceStub(self.channel)

    @cached_property
    def summarization(self) -> summarization_pb2_grpc.SummarizationServiceAsyncStub:
        """Stub."""
        return summarization_pb2_grpc.SummarizationServiceStub(self.channel)

    @cached_property
    def models(self) -> model_pb2_grpc.ModelServiceAsyncStub:
        """Stub."""
        return model_pb2_grpc.ModelServiceStub(self.channel)

    @staticmethod
    def stub_on(channel: grpc.aio.Channel) -> translation_pb2_grpc.TranslationServiceAsyncStub:
        """The translation stub on another channel."""
        return translation_pb2_grpc.TranslationServiceStub(channel)

    @cached_property
    def statistics(self) -> Callable[[], Statistics]:
        """Of the scheduler."""
        return self.server.scheduler.statistics

    def raw(self, method: str, data: bytes) -> Awaitable[bytes]:
        """A unary call of `Service/Method` with bytes that no stub would send."""
        call: Any = self.channel.unary_unary(f"/khulasa.v1.{method}")
        answer: Awaitable[bytes] = call(data, timeout=30)
        return answer

    async def health(self, service: str = "") -> str:
        """Name of a service's health."""
        stub: Any = health_pb2_grpc.HealthStub(self.channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=30)
        name: str = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        return name

    async def watch(self, service: str = "") -> AsyncIterator[str]:
        """Names of a service's health, as it changes."""
        stub: Any = health_pb2_grpc.HealthStub(self.channel)
        async for answer in stub.Watch(health_pb2.HealthCheckRequest(service=service)):
            yield health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)

    async def until_not_serving(self) -> None:
        """Wait until health says so."""
        async for status in self.watch():
            if status == "NOT_SERVING":
                return

    async def until_draining(self) -> None:
        """Wait until no more is read; a call that comes now may be cancelled by gRPC itself."""
        models = self.server.catalog
        while any(each.state is not ModelState.DRAINING for each in models):  # noqa: ASYNC110 - tells nobody
            await asyncio.sleep(0.005)

    async def get(self, path: str) -> Probe:
        """A GET of the HTTP port; a body that is JSON is decoded."""
        url = f"http://{self.server.metrics_address}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            is_json = response.content_type == "application/json"
            body = await response.json() if is_json else await response.text()
            return Probe(response.status, body)

    async def translate(
        self,
        *contents: str,
        **fields: Any,  # noqa: ANN401 - fields of the request
    ) -> translation_pb2.TranslateResponse:
        """One unary call."""
        request = translation_pb2.TranslateRequest(contents=contents, **fields)
        return await self.translation.Translate(request, timeout=60)

    fault_of = staticmethod(fault_of)
    fault_in = staticmethod(fault_in)

    @staticmethod
    def assert_tiling(source: str, translation: translation_pb2.Translation) -> None:
        """Source spans tile the source, target spans the text: only whitespace is beside them."""
        for whole, side in ((source, "source"), (translation.text, "target")):
            reached = 0
            for segment in translation.segments:
                span = getattr(segment, side)
                assert reached <= span.start <= span.end <= len(whole)
                assert not whole[reached : span.start].strip()
                reached = span.end
            assert not whole[reached:].strip()

    async def idle(self) -> None:
        """Wait until no segment and no request is left in the scheduler."""
        while (now := self.statistics()).outstanding or now.requests or now.running:
            await self.server.scheduler.change()

    async def refused(
        self,
        call: Awaitable[object],
        reason: str,
        at: str = "",
        *,
        code: str = "INVALID_ARGUMENT",
        **metadata: str,
    ) -> Fault:
        """How a call is refused: with exactly this status, `BadRequest` at a field, and its id."""
        fault = await refusal(call)
        assert (fault.code.name, fault.reason, fault.field) == (code, reason, at)
        assert fault.metadata == metadata
        assert fault.request_id
        assert fault.request_id == fault.trailers["x-request-id"]
        return fault

    async def assert_well(self) -> None:
        """It serves, and the next request is right."""
        assert await self.health() == "SERVING"
        answer = await self.translate(SENTENCE)
        assert [each.text for each in answer.translations] == [transliterate(SENTENCE)]


@asynccontextmanager
async def running(
    *,
    bound: Callable[[], Awaitable[object]] | None = None,
    **settings: Any,  # noqa: ANN401 - any setting
) -> AsyncIterator[Service]:
    """A started server with some settings changed, stopped afterwards.

    `bound`: given a way to wait until the ports are bound, do not wait for the models.
    """
    server = Server(Settings(**{**SETTINGS, **settings}))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.stop)
        starting = asyncio.ensure_future(server.startup())
        await (starting if bound is None else bound())
        channel = grpc.aio.insecure_channel(server.grpc_address)
        await stack.enter_async_context(channel)
        yield Service(server, channel, starting)
        await starting


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """What this process logs, instead of a tracer's drawings on standard output."""
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.fixture
def serve() -> Callable[..., AbstractAsyncContextManager[Service]]:
    """Runs a server with some settings changed."""
    return running


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """A server with scripted engines."""
    async with running() as service:
        yield service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Service]:
    """One server for all tests of a file: what one does to it, the next would see."""
    async with running() as service:
        yield service


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, ScriptedEngine]]:
    """Makes engines that are loaded from now on misbehave; gives them by the names of models.

    `loading` is called in the thread that loads, to block or to raise.
    """

    def install(
        *,
        only: str = "",
        loading: Callable[[str], None] = lambda _name: None,
        **changes: Any,  # noqa: ANN401 - of a Script
    ) -> dict[str, ScriptedEngine]:
        loaded: dict[str, ScriptedEngine] = {}

        def load(_kind: str, _directory: object, manifest: Manifest, **_: int) -> ScriptedEngine:
            loading(manifest.name)
            applies = not only or manifest.name == only
            engine = ScriptedEngine(manifest, Script(**changes) if applies else None)
            loaded[manifest.name] = engine
            return engine

        monkeypatch.setattr(proving, "load", load)
        return loaded

    return install


@pytest.fixture
def gate() -> Iterator[Gate]:
    """For a script; opened at the end, so that no thread is left behind."""
    gate = Gate()
    yield gate
    gate.opened.set()
