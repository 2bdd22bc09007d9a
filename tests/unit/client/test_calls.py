# ruff: noqa: ANN401 - fixtures of conftest.py have types that cannot be imported from there
"""Calls over a real channel: what is sent, what comes back, what is tried again."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from khulasa.v1 import translation_pb2
from khulasa_client import (
    CacheMode,
    CallCancelledError,
    ConfigurationError,
    DeadlineError,
    HealthStatus,
    InternalError,
    InvalidRequestError,
    KhulasaError,
    LongDocumentStrategy,
    MessageTooLargeError,
    NotFoundError,
    Options,
    OverloadedError,
    Priority,
    SegmentOutcome,
    Span,
    UnauthenticatedError,
    UnavailableError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = "marhaban ya عالم"


@pytest.fixture
def unretried(connect: Callable[..., Any], server: Any) -> Any:
    """A client that sees every status."""
    return connect(server.address, retries=False)


def test_translate(client: Any, script: Any) -> None:
    """A translation comes back as plain values, under a deadline and a request id."""
    translation = client.call("translate", TEXT)
    assert translation.text == TEXT.upper()
    [segment] = translation.segments
    assert (segment.source, segment.score) == (Span(0, len(TEXT)), -0.5)
    assert segment.outcome is SegmentOutcome.TRANSLATED
    assert translation.model.name == "shouter"
    assert translation.usage.code_points == len(TEXT)
    [call] = script.seen
    assert 50 < call.remaining < 70
    assert len(call.metadata["x-request-id"]) == 32
    assert call.metadata["user-agent"].startswith("khulasa-client/")
    assert "authorization" not in call.metadata


def test_everything_that_can_be_asked_for_is_sent(client: Any, script: Any) -> None:
    """Each argument reaches the field it is for."""
    options = Options(
        beam_size=1,
        max_output_tokens=9,
        cache_mode=CacheMode.BYPASS,
        deterministic=True,
        priority=Priority.BULK,
    )
    client.call(
        "summarize",
        TEXT,
        language="fa",
        to="en",
        strategy=LongDocumentStrategy.HIERARCHICAL,
        model="m",
        translation_model="t",
        options=options,
        request_id="mine",
    )
    client.call("translate", TEXT, source="fa", to="de", model="m", options=options)
    [summarize], [translate] = script.requests("Summarize"), script.requests("Translate")
    assert (summarize.text, summarize.language_code, summarize.target_language_code) == (
        TEXT,
        "fa",
        "en",
    )
    assert (summarize.model, summarize.translation_model) == ("m", "t")
    assert summarize.long_document_strategy == 2
    assert (translate.source_language_code, translate.target_language_code) == ("fa", "de")
    assert (translate.model, translate.options) == ("m", summarize.options)
    sent = summarize.options
    assert (sent.beam_size, sent.max_output_tokens, sent.deterministic) == (1, 9, True)
    assert (sent.cache_mode, sent.priority) == (2, 2)
    assert script.seen[0].metadata["x-request-id"] == "mine"
    assert 170 < script.seen[0].remaining < 190


def test_what_is_not_asked_for_is_not_sent(client: Any, script: Any) -> None:
    """Defaults are the server's: nothing but the text is on the wire."""
    client.call("translate", TEXT)
    assert script.requests("Translate") == [translation_pb2.TranslateRequest(contents=[TEXT])]


def test_translate_many_is_aligned(client: Any) -> None:
    """Translations come in the order of the texts."""
    assert [t.text for t in client.call("translate_many", ["a", "b", "c"])] == ["A", "B", "C"]


def test_answer_of_another_length_is_a_defect(client: Any, script: Any) -> None:
    """A server that loses a translation is not believed."""
    script.then("Translate", lambda _request, _context: translation_pb2.TranslateResponse())
    with pytest.raises(InternalError, match="0 translations for 1 contents"):
        client.call("translate", TEXT)


def test_models_of_all_pages(client: Any) -> None:
    """Pages are turned until there is no more."""
    assert [model.name for model in client.call("list_models")] == ["a", "b", "c"]
    assert client.call("get_model", "x").name == "x"


def test_health(client: Any) -> None:
    """The health of the server, of a service, and of one it does not know."""
    assert client.call("health") is HealthStatus.SERVING
    assert client.call("health", "khulasa.v1.TranslationService") is HealthStatus.NOT_SERVING
    with pytest.raises(NotFoundError):
        client.call("health", "nobody")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("INVALID_ARGUMENT", InvalidRequestError),
        ("NOT_FOUND", NotFoundError),
        ("RESOURCE_EXHAUSTED", OverloadedError),
        ("DEADLINE_EXCEEDED", DeadlineError),
        ("UNAVAILABLE", UnavailableError),
        ("UNAUTHENTICATED", UnauthenticatedError),
        ("PERMISSION_DENIED", UnauthenticatedError),
        ("UNIMPLEMENTED", UnsupportedError),
        ("CANCELLED", CallCancelledError),
        ("INTERNAL", InternalError),
        ("UNKNOWN", InternalError),
        ("DATA_LOSS", InternalError),
    ],
)
def test_errors_are_typed(
    unretried: Any, script: Any, failing: Callable[..., Any], code: str, kind: type[KhulasaError]
) -> None:
    """Each status is an exception of its own that carries what the status carries."""
    script.then("Translate", failing(code, "SOME_REASON", 1.5))
    with pytest.raises(kind) as caught:
        unretried.call("translate", TEXT)
    error = caught.value
    assert (error.code, error.reason, error.metadata) == (code, "SOME_REASON", {"limit": "7"})
    assert (error.retry_after, error.request_id) == (1.5, "from-the-server")
    assert str(error) == f"SOME_REASON: a test wants {code}"


def test_error_of_grpc_itself(connect: Callable[..., Any]) -> None:
    """Where nobody listens, the error is typed too, and has the id that was sent."""
    with socket.socket() as unused:
        unused.bind(("localhost", 0))
        client = connect(f"localhost:{unused.getsockname()[1]}", retries=False)
        with pytest.raises(UnavailableError) as caught:
            client.call("translate", TEXT, request_id="mine")
    assert (caught.value.reason, caught.value.request_id) == ("", "mine")


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED"])
def test_what_passes_is_tried_again(
    client: Any, script: Any, failing: Callable[..., Any], code: str
) -> None:
    """The channel tries again when the server says so, at the time it says."""
    script.then("Summarize", failing(code, "OVERLOADED", 0.2), failing(code, "OVERLOADED", 0.2))
    started = time.monotonic()
    assert client.call("summarize", TEXT).text == "marhaban"
    assert time.monotonic() - started >= 0.4
    assert len(script.seen) == 3
    assert script.seen[2].metadata["grpc-previous-rpc-attempts"] == "2"


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "INTERNAL", "UNKNOWN", "DEADLINE_EXCEEDED"])
def test_what_does_not_pass_is_not_tried_again(
    client: Any, script: Any, failing: Callable[..., Any], code: str
) -> None:
    """An error that would be the same again is raised at once."""
    script.then("Translate", failing(code, "SOME_REASON"))
    with pytest.raises(KhulasaError):
        client.call("translate", TEXT)
    assert len(script.seen) == 1


def test_large_requests_are_tried_again(
    client: Any, script: Any, failing: Callable[..., Any]
) -> None:
    """A request of a megabyte is as safe as a small one."""
    script.then("Translate", failing("UNAVAILABLE", "NOT_READY", 0.01))
    text = "x" * 1_000_000
    assert client.call("translate", text).text == text.upper()


def test_nothing_is_tried_past_the_deadline(
    client: Any, script: Any, failing: Callable[..., Any]
) -> None:
    """A pushback beyond the deadline ends the call at the deadline."""
    script.then("Translate", failing("UNAVAILABLE", "NOT_READY", 60))
    with pytest.raises((DeadlineError, UnavailableError)):
        client.call("translate", TEXT, timeout=0.5)
    assert len(script.seen) == 1


def test_retries_are_throttled(client: Any, script: Any, failing: Callable[..., Any]) -> None:
    """Against a server that only fails, a few calls are tried again and the rest are not."""
    script.then("GetModel", *[failing("UNAVAILABLE", "NOT_READY", 0.001)] * 400)
    for _ in range(200):
        with pytest.raises(UnavailableError):
            client.call("get_model", "x")
    assert len(script.seen) <= 200 + 32


def test_message_too_large_is_not_sent(
    connect: Callable[..., Any], server: Any, script: Any
) -> None:
    """What the server would not take is refused before it is sent, with the limit."""
    client = connect(server.address, max_message_bytes=1000)
    with pytest.raises(MessageTooLargeError, match="more than the limit of 1,000") as caught:
        client.call("translate", "x" * 1000)
    assert caught.value.metadata["limit"] == "1000"
    assert int(caught.value.metadata["actual"]) > 1000
    assert script.seen == []


def test_answer_too_large_is_typed(connect: Callable[..., Any], server: Any, script: Any) -> None:
    """An answer over the limit is told as such, not as overload."""
    script.then(
        "GetModel",
        lambda _request, _context: translation_pb2.Translation(text="x" * 2000),
    )
    client = connect(server.address, max_message_bytes=1000)
    with pytest.raises(MessageTooLargeError):
        client.call("get_model", "x")


@pytest.mark.parametrize("method", ["translate", "summarize"])
def test_unpaired_surrogates_are_refused(client: Any, script: Any, method: str) -> None:
    """A string that has no UTF-8 form is a typed error that says where."""
    with pytest.raises(InvalidRequestError, match=r"surrogate U\+D83D at code point 2") as caught:
        client.call(method, "ab\ud83dc")
    assert (caught.value.reason, caught.value.metadata) == ("TEXT_INVALID", {"position": "2"})
    assert caught.value.field_violations[0].field in {"contents[0]", "text"}
    assert script.seen == []


def test_deadline(client: Any, script: Any) -> None:
    """A server that is slower than the timeout is not waited for."""
    script.then("Translate", lambda _request, context: _until_over(context))
    with pytest.raises(DeadlineError) as caught:
        client.call("translate", TEXT, timeout=0.2)
    assert caught.value.code == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan")])
def test_calls_without_deadline_are_impossible(client: Any, timeout: float) -> None:
    """A timeout that is no time is refused."""
    with pytest.raises(ConfigurationError, match="positive number"):
        client.call("translate", TEXT, timeout=timeout)


def test_arguments_that_do_not_exist(client: Any) -> None:
    """A misspelt argument or choice is told, not ignored."""
    with pytest.raises(TypeError, match="langauge"):
        client.call("summarize", TEXT, langauge="ar")
    with pytest.raises(ConfigurationError, match="not one of LEAD, HIERARCHICAL"):
        client.call("summarize", TEXT, strategy="whole")


def test_closed_client(client: Any) -> None:
    """A closed client says that it is closed."""
    client.call("translate", TEXT)
    client.call("close") if hasattr(client, "runner") else client.close()
    with pytest.raises(ConfigurationError, match="closed"):
        client.call("translate", TEXT)


@pytest.mark.parametrize("request_id", ["with space", "x" * 129, "أ"])
def test_request_id_is_checked(client: Any, request_id: str) -> None:
    """An id that the server would not take is refused."""
    with pytest.raises(ConfigurationError, match="request id"):
        client.call("translate", TEXT, request_id=request_id)


def test_dns_targets_work(connect: Callable[..., Any], server: Any) -> None:
    """A dns target is resolved."""
    assert connect(f"dns:///{server.address}").call("translate", "a").text == "A"


def test_calls_are_spread(
    connect: Callable[..., Any], serve: Callable[..., Any], script: Any
) -> None:
    """With several servers each gets its share, and the loss of one costs no call."""
    servers = [serve(type(script)(), host="127.0.0.1") for _ in range(2)]
    client = connect("ipv4:" + ",".join(server.address for server in servers))
    while not all(len(server.script.seen) >= 5 for server in servers):
        client.call("translate", "a")
    servers[0].stop()
    before = len(servers[1].script.seen)
    for _ in range(20):
        assert client.call("translate", "a").text == "A"
    assert len(servers[1].script.seen) == before + 20


def _until_over(context: Any) -> Any:
    """Wait until the client is gone."""
    over = threading.Event()
    if context.add_callback(over.set):
        over.wait()
    return translation_pb2.TranslateResponse()
