"""The client and the real server: two processes, one channel, scripted engines."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from khulasa_client import (
    AsyncClient,
    BulkItem,
    CacheMode,
    Client,
    DeadlineError,
    HealthStatus,
    InvalidRequestError,
    KhulasaError,
    MessageTooLargeError,
    ModelState,
    NotFoundError,
    Options,
    SegmentOutcome,
    Translation,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]
ARTICLE = (REPOSITORY / "tests" / "data" / "article_ar.txt").read_text("utf-8")
SENTENCE = "ذهب الولد إلى المدرسة."


class RealServer:
    """`khulasa-server serve` in a process of its own, on a port that it keeps."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self.address = "127.0.0.1:0"
        self.start()

    def start(self) -> None:
        """Start, and wait until it serves."""
        settings = {
            "KHULASA_ENGINE": "scripted",
            "KHULASA_LISTEN": self.address,
            "KHULASA_METRICS_LISTEN": "127.0.0.1:0",
            "KHULASA_DRAIN_DELAY": "0",
            "KHULASA_LOG_LEVEL": "error",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        command = [sys.executable, "-m", "khulasa_server", "serve"]
        self._process = subprocess.Popen(
            command, env=os.environ | settings, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.address = json.loads(self._process.stdout.readline())["grpc"]

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, in good order or not."""
        if self._process is not None:
            process, self._process = self._process, None
            with process:
                process.send_signal(how)
                assert process.wait(60) == (-how if how is signal.SIGKILL else 0)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where a server listens."""
    server = RealServer()
    yield server.address
    server.stop()


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    """A client of it."""
    with Client(address) as client:
        yield client


@pytest.fixture
def mortal() -> Iterator[RealServer]:
    """A server that a test may end."""
    with ExitStack() as stack:
        server = RealServer()
        stack.callback(server.stop)
        yield server


def assert_tiles(source: str, translation: Translation) -> None:
    """The segments and the white space between them are both texts, whole."""
    for text, spans in (
        (source, [segment.source for segment in translation.segments]),
        (translation.text, [segment.target for segment in translation.segments]),
    ):
        edges = [0, *(edge for span in spans for edge in (span.start, span.end)), len(text)]
        assert edges == sorted(edges)
        gaps = [text[edges[i] : edges[i + 1]] for i in range(0, len(edges), 2)]
        assert not any(gap.strip() for gap in gaps)


def test_translate(client: Client) -> None:
    """A whole article is translated, and its segments tile it."""
    translation = client.translate(ARTICLE)
    assert_tiles(ARTICLE, translation)
    assert translation.text.count("\n\n") == ARTICLE.count("\n\n")
    assert {segment.outcome for segment in translation.segments} <= set(SegmentOutcome)
    assert (translation.source_language_code, translation.target_language_code) == ("ar", "en")
    assert translation.usage.code_points == len(ARTICLE)
    assert translation.usage.total_seconds > 0
    assert translation.model.digest.startswith("sha256:")


def test_translate_many(client: Client) -> None:
    """Results are aligned with the texts; one with nothing to translate is copied."""
    first, second = client.translate_many([SENTENCE, "https://example.org"])
    assert_tiles(SENTENCE, first)
    assert second.text == "https://example.org"
    assert [segment.outcome for segment in second.segments] == [SegmentOutcome.COPIED]


def test_stream_is_the_same_translation(client: Client) -> None:
    """Segment by segment or at once, the text is the same."""
    options = Options(cache_mode=CacheMode.BYPASS)
    stream = client.stream_translate(ARTICLE, options=options)
    text = "".join(segment.text for segment in stream)
    assert text == client.translate(ARTICLE, options=options).text
    assert stream.summary.usage.code_points == len(ARTICLE)


def test_summarize(client: Client) -> None:
    """A summary comes with its translation and with what it rests on."""
    summary = client.summarize(ARTICLE, to="en")
    assert summary.text
    assert summary.translation is not None
    assert_tiles(summary.text, summary.translation)
    assert 0 < summary.coverage <= 1
    assert summary.chunks[-1].text == summary.text
    assert summary.language_code == "ar"
    assert client.summarize(ARTICLE).translation is None


def test_hierarchical(client: Client) -> None:
    """On request everything is read."""
    summary = client.summarize(ARTICLE, strategy="hierarchical")
    assert summary.strategy == "HIERARCHICAL"
    assert summary.coverage == pytest.approx(1.0, abs=0.05)
    assert max(chunk.level for chunk in summary.chunks) >= 1


def test_bulk(client: Client) -> None:
    """Every item has one result, good or bad."""
    items = [BulkItem(str(number), SENTENCE) for number in range(200)]
    results = list(client.bulk_translate([*items, ("nul", "\0"), ("", SENTENCE), ("url", "a.b")]))
    assert Counter(r.id for r in results) == Counter([*(i.id for i in items), "nul", "", "url"])
    errors = {result.id: result.error.reason for result in results if result.error}
    assert errors == {"nul": "TEXT_INVALID", "": "OPTION_INVALID"}
    [summary] = client.bulk_summarize([("a", ARTICLE)], to="en")
    assert summary.summary is not None
    assert summary.summary.translation is not None


def test_models_and_health(client: Client) -> None:
    """What is served, and that it is."""
    models = {model.name: model for model in client.list_models()}
    assert len(models) == 2
    for name, model in models.items():
        assert client.get_model(name) == model
        assert (model.state, model.engine) == (ModelState.SERVING, "scripted")
        assert model.limits.max_code_points == 30_000
        assert model.limits.max_deadline_seconds == 300
        assert model.license
    assert client.health() is HealthStatus.SERVING
    with pytest.raises(NotFoundError):
        client.health("nobody")


def test_errors_say_why(client: Client) -> None:
    """The server's reasons, limits and fields reach the caller."""
    with pytest.raises(InvalidRequestError) as caught:
        client.translate("ا" * 30_001, request_id="mine-1")
    error = caught.value
    assert (error.reason, error.request_id) == ("TEXT_TOO_LONG", "mine-1")
    assert (error.metadata["limit"], error.metadata["actual"]) == ("30000", "30001")
    assert [violation.field for violation in error.field_violations] == ["contents[0]"]
    reasons = [reason_of(client, text) for text in ("", "  ", "a\0", "only latin")]
    assert reasons == ["TEXT_EMPTY", "TEXT_EMPTY", "TEXT_INVALID", "LANGUAGE_MISMATCH"]
    with pytest.raises(NotFoundError) as unknown:
        client.get_model("none")
    assert unknown.value.reason == "MODEL_NOT_FOUND"


def reason_of(client: Client, text: str) -> str:
    """Why a text is not translated."""
    with pytest.raises(KhulasaError) as caught:
        client.translate(text)
    return caught.value.reason


def test_deadline(client: Client) -> None:
    """An answer that cannot be in time is a deadline error, from either side."""
    with pytest.raises(DeadlineError):
        client.summarize(ARTICLE, timeout=0.001)


def test_message_beyond_the_servers_limit(address: str) -> None:
    """A client that allows more than the server is told by the server."""
    with (
        Client(address, max_message_bytes=20_000_000, retries=False) as client,
        pytest.raises(MessageTooLargeError),
    ):
        client.translate("ا" * 4_000_000)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_bulk_survives_a_restart(mortal: RealServer, how: signal.Signals) -> None:
    """A server that stops, or dies, and comes back costs no item and doubles none."""
    seen: list[str] = []
    with Client(mortal.address) as client:
        for result in client.bulk_translate((str(n), SENTENCE) for n in range(300)):
            assert result.translation is not None, result.error
            seen.append(result.id)
            if len(seen) == 50:
                mortal.stop(how)
                mortal.start()
    assert Counter(seen) == Counter(str(number) for number in range(300))


async def test_async_bulk_survives_a_restart(mortal: RealServer) -> None:
    """The same with asyncio."""
    seen: list[str] = []
    async with AsyncClient(mortal.address) as client:
        async for result in client.bulk_translate((str(n), SENTENCE) for n in range(300)):
            assert result.translation is not None, result.error
            seen.append(result.id)
            if len(seen) == 50:
                await asyncio.to_thread(mortal.stop, signal.SIGKILL)
                await asyncio.to_thread(mortal.start)
    assert Counter(seen) == Counter(str(number) for number in range(300))


async def test_async_client(address: str) -> None:
    """The asynchronous client says the same as the other."""
    async with AsyncClient(address) as client:
        translation, summary = await asyncio.gather(
            client.translate(SENTENCE), client.summarize(ARTICLE)
        )
        assert_tiles(SENTENCE, translation)
        assert summary.text
        parts = [part.text async for part in client.stream_translate(SENTENCE)]
        assert "".join(parts) == translation.text
        assert await client.health() is HealthStatus.SERVING


def run(address: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """`khulasa` as a person runs it."""
    return subprocess.run(
        [sys.executable, "-m", "khulasa_client.cli", *arguments, "--address", address],
        input=stdin,
        check=False,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_command_line(address: str, client: Client) -> None:
    """The command says what the library says."""
    expected = client.translate(ARTICLE).text
    assert run(address, "translate", stdin=ARTICLE).stdout.strip() == expected.strip()
    assert run(address, "translate", "--stream", stdin=ARTICLE).stdout.strip() == expected.strip()
    value = json.loads(run(address, "summarize", "--to", "en", "--json", stdin=ARTICLE).stdout)
    assert value["translation"]["text"]
    assert run(address, "health").returncode == 0
    assert "demonstration" in run(address, "models").stdout
    refused = run(address, "translate", stdin="only latin")
    assert refused.returncode == 1
    assert refused.stderr.startswith("khulasa: LANGUAGE_MISMATCH: ")
    assert refused.stderr.count("\n") == 1


def test_command_line_in_bulk(address: str, tmp_path: Path) -> None:
    """A file of items, one of them with an unpaired surrogate: the others are translated."""
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    lines: list[dict[str, Any]] = [{"id": number, "text": SENTENCE} for number in range(20)]
    lines.append({"id": "bad", "text": "\ud800"})
    source.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    done = run(address, "bulk", "translate", str(source), str(target))
    assert done.returncode == 1
    assert "20 translated, 1 failed" in done.stderr
    failures = (tmp_path / "out.errors.jsonl").read_text("utf-8")
    assert json.loads(failures)["reason"] == "TEXT_INVALID"
    again = run(address, "bulk", "translate", str(source), str(target))
    assert "0 translated, 20 before, 1 failed" in again.stderr
    assert len(target.read_text("utf-8").splitlines()) == 20
