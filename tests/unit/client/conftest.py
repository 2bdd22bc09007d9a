# ruff: noqa: ANN401 - protobuf messages and both clients go through the same functions
# ruff: noqa: N802 - methods of a servicer have the names of the contract
"""A server that does as it is told, and both clients behind one face."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc
import pytest
from google.protobuf import any_pb2, wrappers_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from khulasa.v1 import (
    common_pb2,
    model_pb2,
    model_pb2_grpc,
    summarization_pb2,
    summarization_pb2_grpc,
    translation_pb2,
    translation_pb2_grpc,
)
from khulasa_client import AsyncClient, Client

Behaviour = Callable[[Any, grpc.ServicerContext], Any]


@dataclass
class Seen:
    """One call as the server saw it."""

    method: str
    request: Any
    metadata: dict[str, str]
    remaining: float | None
    """Seconds to its deadline; None: it has none."""


def translated(text: str) -> translation_pb2.Translation:
    """What this server takes for a translation: one segment in capitals."""
    span = common_pb2.Span(start=0, end=len(text))
    segment = translation_pb2.Segment(
        source=span,
        target=span,
        score=-0.5,
        outcome=translation_pb2.SEGMENT_OUTCOME_TRANSLATED,
    )
    return translation_pb2.Translation(
        text=text.upper(),
        segments=[segment],
        model=common_pb2.ModelRef(name="shouter", digest="sha256:00"),
        usage=common_pb2.Usage(code_points=len(text), segments=1),
        source_language_code="ar",
        target_language_code="en",
    )


def summarized(text: str) -> summarization_pb2.Summary:
    """What this server takes for a summary: the first word."""
    return summarization_pb2.Summary(
        text=text.split(maxsplit=1)[0], coverage=1.0, language_code="ar"
    )


@dataclass
class Script:
    """What the server does; behaviours are used up before the default applies."""

    behaviours: dict[str, deque[Behaviour]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def then(self, method: str, *behaviours: Behaviour) -> None:
        """Do these on the next calls of a method."""
        self.behaviours.setdefault(method, deque()).extend(behaviours)

    def act(
        self, method: str, request: Any, context: grpc.ServicerContext, default: Behaviour
    ) -> Any:
        """Note the call and do what comes next."""
        metadata = {key: str(value) for key, value in context.invocation_metadata()}
        remaining: float | None = context.time_remaining()
        if remaining is not None and remaining > 1e9:  # how grpc tells that there is none
            remaining = None
        with self.lock:
            self.seen.append(Seen(method, request, metadata, remaining))
            waiting = self.behaviours.get(method)
            behaviour = waiting.popleft() if waiting else default
        return behaviour(request, context)

    def requests(self, method: str) -> list[Any]:
        """What was asked of a method."""
        return [call.request for call in self.seen if call.method == method]


class Translator(translation_pb2_grpc.TranslationServiceServicer):
    """Shouts."""

    def __init__(self, script: Script) -> None:
        self.script = script

    def Translate(self, request: Any, context: Any) -> Any:
        """Every content in capitals."""

        def default(request: Any, _context: Any) -> Any:
            answers = [translated(text) for text in request.contents]
            return translation_pb2.TranslateResponse(translations=answers)

        return self.script.act("Translate", request, context, default)

    def StreamTranslate(self, request: Any, context: Any) -> Any:
        """A segment for each word, then the summary."""
        return self.script.act("StreamTranslate", request, context, stream_words)

    def BulkTranslate(self, request_iterator: Any, context: Any) -> Any:
        """Every item in capitals, as it comes."""
        return self.script.act("BulkTranslate", request_iterator, context, answer_items)


class Summarizer(summarization_pb2_grpc.SummarizationServiceServicer):
    """Knows the first word."""

    def __init__(self, script: Script) -> None:
        self.script = script

    def Summarize(self, request: Any, context: Any) -> Any:
        """The first word."""

        def default(request: Any, _context: Any) -> Any:
            return summarization_pb2.SummarizeResponse(summary=summarized(request.text))

        return self.script.act("Summarize", request, context, default)

    def BulkSummarize(self, request_iterator: Any, context: Any) -> Any:
        """The first word of every item."""

        def default(items: Any, _context: Any) -> Iterator[Any]:
            for item in items:
                summary = summarized(item.content)
                yield summarization_pb2.BulkSummarizeResponse(id=item.id, summary=summary)

        return self.script.act("BulkSummarize", request_iterator, context, default)


class Models(model_pb2_grpc.ModelServiceServicer):
    """Three models on two pages."""

    def __init__(self, script: Script) -> None:
        self.script = script

    def ListModels(self, request: Any, context: Any) -> Any:
        """Two on the first page, one on the second."""

        def default(request: Any, _context: Any) -> Any:
            names, token = (["c"], "") if request.page_token else (["a", "b"], "2")
            models = [
                model_pb2.Model(name=name, state=model_pb2.MODEL_STATE_SERVING) for name in names
            ]
            return model_pb2.ListModelsResponse(models=models, next_page_token=token)

        return self.script.act("ListModels", request, context, default)

    def GetModel(self, request: Any, context: Any) -> Any:
        """A model of any name."""

        def default(request: Any, _context: Any) -> Any:
            return model_pb2.GetModelResponse(model=model_pb2.Model(name=request.name))

        return self.script.act("GetModel", request, context, default)


def stream_words(request: Any, _context: Any) -> Iterator[Any]:
    """One segment for each word; its text holds the space after it."""
    offset = 0
    for word in request.text.split(" "):
        span = common_pb2.Span(start=offset, end=offset + len(word))
        segment = translation_pb2.Segment(source=span, target=span, score=-1)
        result = translation_pb2.SegmentResult(segment=segment, text=f"{word.upper()} ")
        yield translation_pb2.StreamTranslateResponse(segment=result)
        offset = span.end + 1
    summary = translation_pb2.StreamSummary(usage=common_pb2.Usage(code_points=len(request.text)))
    yield translation_pb2.StreamTranslateResponse(summary=summary)


def answer_items(items: Iterable[Any], _context: Any) -> Iterator[Any]:
    """Every item in capitals."""
    for item in items:
        yield translation_pb2.BulkTranslateResponse(
            id=item.id, translation=translated(item.content)
        )


def rich_status(code: str, reason: str = "", retry_after: float | None = None) -> status_pb2.Status:
    """A status as the contract describes them."""
    status = status_pb2.Status(code=code_pb2.Code.Value(code), message=f"a test wants {code}")
    info = error_details_pb2.ErrorInfo(reason=reason, domain="khulasa", metadata={"limit": "7"})
    details: list[Any] = [info] if reason else []
    if retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(retry_after * 1e9))
        details.append(retry)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def fail(code: str, reason: str = "", retry_after: float | None = None) -> Behaviour:
    """Answer with this status, and the pushback where there is one."""

    def behaviour(_request: Any, context: grpc.ServicerContext) -> Any:
        trailers = [("x-request-id", "from-the-server")]
        status = rpc_status.to_status(rich_status(code, reason, retry_after))
        if retry_after is not None:
            trailers.append(("grpc-retry-pushback-ms", str(round(retry_after * 1000))))
        context.set_trailing_metadata((*status.trailing_metadata, *trailers))
        context.abort(status.code, status.details)

    return behaviour


class TestServer:
    """A server on a port that it keeps when it is stopped and started again."""

    __test__ = False

    def __init__(
        self,
        script: Script,
        credentials: grpc.ServerCredentials | None = None,
        host: str = "localhost",
    ) -> None:
        self.script = script
        self._host = host
        self._credentials = credentials
        self._server: grpc.Server | None = None
        self.port = 0
        self.start()

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{self._host}:{self.port}"

    def start(self) -> None:
        """Listen, on the same port as before."""
        server = grpc.server(futures.ThreadPoolExecutor(32), options=[("grpc.so_reuseport", 0)])
        translation_pb2_grpc.add_TranslationServiceServicer_to_server(
            Translator(self.script), server
        )
        summarization_pb2_grpc.add_SummarizationServiceServicer_to_server(
            Summarizer(self.script), server
        )
        model_pb2_grpc.add_ModelServiceServicer_to_server(Models(self.script), server)
        server.add_generic_rpc_handlers((self._health(),))
        address = f"{self._host}:{self.port}"
        if self._credentials is None:
            self.port = server.add_insecure_port(address)
        else:
            self.port = server.add_secure_port(address, self._credentials)
        server.start()
        self._server = server

    def stop(self, grace: float | None = None) -> None:
        """Stop, at once or when calls in flight are over."""
        if self._server is not None:
            self._server.stop(grace).wait()
            self._server = None

    def _health(self) -> grpc.GenericRpcHandler:
        """The health service, with the codes of its enum."""

        def check(request: Any, context: grpc.ServicerContext) -> Any:
            if request.value == "nobody":
                context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
            return wrappers_pb2.Int32Value(value=2 if request.value else 1)

        handler = grpc.unary_unary_rpc_method_handler(
            check, wrappers_pb2.StringValue.FromString, wrappers_pb2.Int32Value.SerializeToString
        )
        return grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler})


class Face(Protocol):
    """What both clients have; streams and bulk calls are read to their end."""

    def call(self, name: str, *arguments: Any, **named: Any) -> Any:
        """The result of a method."""

    def collect(self, name: str, *arguments: Any, **named: Any) -> list[Any]:
        """All that an iterating method gives."""


class SyncFace:
    """`Client`."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def call(self, name: str, *arguments: Any, **named: Any) -> Any:
        """The result of a method."""
        return getattr(self.client, name)(*arguments, **named)

    def collect(self, name: str, *arguments: Any, **named: Any) -> list[Any]:
        """All that an iterating method gives."""
        return list(getattr(self.client, name)(*arguments, **named))

    def close(self) -> None:
        """Close the client."""
        self.client.close()


class AsyncFace:
    """`AsyncClient`, on a loop of its own."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self.runner = asyncio.Runner()

    def call(self, name: str, *arguments: Any, **named: Any) -> Any:
        """The result of a method."""
        return self.runner.run(getattr(self.client, name)(*arguments, **named))

    def collect(self, name: str, *arguments: Any, **named: Any) -> list[Any]:
        """All that an iterating method gives."""

        async def read() -> list[Any]:
            return [item async for item in getattr(self.client, name)(*arguments, **named)]

        return self.runner.run(read())

    def close(self) -> None:
        """Close the client and its loop."""
        self.runner.run(self.client.close())
        self.runner.close()


@pytest.fixture
def script() -> Script:
    """What the server does."""
    return Script()


@pytest.fixture
def server(script: Script) -> Iterator[TestServer]:
    """A running server."""
    server = TestServer(script)
    yield server
    server.stop()


@pytest.fixture
def serve() -> Iterator[Callable[..., TestServer]]:
    """Starts more servers."""
    with ExitStack() as stack:

        def start(script: Script, *arguments: Any, **named: Any) -> TestServer:
            server = TestServer(script, *arguments, **named)
            stack.callback(server.stop)
            return server

        yield start


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., SyncFace | AsyncFace]]:
    """Makes clients of either kind."""
    with ExitStack() as stack:

        def make(*arguments: Any, **named: Any) -> SyncFace | AsyncFace:
            face: SyncFace | AsyncFace
            if request.param == "sync":
                face = SyncFace(Client(*arguments, **named))
            else:
                face = AsyncFace(AsyncClient(*arguments, **named))
            stack.callback(face.close)
            return face

        yield make


@pytest.fixture
def client(
    connect: Callable[..., SyncFace | AsyncFace], server: TestServer
) -> SyncFace | AsyncFace:
    """A client of the running server."""
    return connect(server.address)


@pytest.fixture
def failing() -> Callable[..., Behaviour]:
    """Makes behaviours that answer with a status."""
    return fail


@pytest.fixture
def status() -> Callable[..., status_pb2.Status]:
    """Makes statuses as the contract describes them."""
    return rich_status
