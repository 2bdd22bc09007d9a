"""The embedded models behind the real contract, in a process of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.request import urlopen

import grpc
import pytest

from khulasa.v1 import (
    common_pb2,
    model_pb2,
    model_pb2_grpc,
    summarization_pb2,
    summarization_pb2_grpc,
    translation_pb2,
    translation_pb2_grpc,
)
from khulasa_server.engines.threads import usable_cores

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

TRANSLATED: Final = translation_pb2.SEGMENT_OUTCOME_TRANSLATED


@dataclass
class Running:
    """A server process: what it said at the start, and where it logs."""

    serving: dict[str, Any]
    log: Path


@contextmanager
def started(log: Path, **environment: str) -> Iterator[Running]:
    """A server of the embedded models on free ports; it must stop with status 0."""
    settings = {
        "KHULASA_LISTEN": "127.0.0.1:0",
        "KHULASA_METRICS_LISTEN": "127.0.0.1:0",
        "KHULASA_DRAIN_DELAY": "0",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "khulasa_server", "serve"]
    with log.open("wb") as stderr:
        server = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, **settings, **environment},
        )
    assert server.stdout is not None
    try:
        yield Running(json.loads(server.stdout.readline()), log)
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One process for all tests of this file."""
    with started(tmp_path_factory.mktemp("embedded") / "stderr") as running:
        yield running


@pytest.fixture
async def channel(embedded: Running) -> AsyncIterator[grpc.aio.Channel]:
    """To the one process."""
    async with grpc.aio.insecure_channel(embedded.serving["grpc"]) as channel:
        yield channel


async def translate(channel: grpc.aio.Channel, *contents: str, **options: Any) -> Any:  # noqa: ANN401 - a response
    """A unary call."""
    stub: Any = translation_pb2_grpc.TranslationServiceStub(channel)
    request = translation_pb2.TranslateRequest(
        contents=contents, options=common_pb2.Options(**options)
    )
    return await stub.Translate(request, timeout=60)


async def summarize(channel: grpc.aio.Channel, text: str, **fields: Any) -> Any:  # noqa: ANN401 - a response
    """A unary call."""
    stub: Any = summarization_pb2_grpc.SummarizationServiceStub(channel)
    request = summarization_pb2.SummarizeRequest(text=text, **fields)
    return await stub.Summarize(request, timeout=60)


def assert_english(text: str) -> None:
    """Words in Latin letters: which ones is the model's business and the processor's."""
    assert text.isascii()
    assert len(text.split()) > 1


def test_the_start_says_that_the_models_are_for_show(embedded: Running) -> None:
    """Both models are ready, and the log has told once for each how to build the real one."""
    assert embedded.serving["ready"] is True
    assert set(embedded.serving["models"].values()) == {"ready"}
    lines = [json.loads(line) for line in embedded.log.read_text().splitlines()]
    shown = [line for line in lines if line["event"] == "demonstration_model"]
    assert sorted(line["model"] for line in shown) == sorted(embedded.serving["models"])
    assert all("khulasa-server models build" in line["production_build"] for line in shown)


async def test_an_everyday_sentence_is_translated(channel: grpc.aio.Channel) -> None:
    """A real model reads Arabic and writes English, with a plausible score and true counts."""
    answer = await translate(channel, "كيف حالك اليوم؟")
    (translation,) = answer.translations
    assert_english(translation.text)
    (segment,) = translation.segments
    assert segment.outcome == TRANSLATED
    assert (segment.source.end, segment.target.end) == (15, len(translation.text))
    assert -1 < segment.score < 0
    assert answer.usage.input_tokens > 3
    assert answer.usage.output_tokens > 3
    assert answer.usage.inference_duration.ToMicroseconds() > 0


async def test_the_score_does_not_depend_on_the_length_penalty(channel: grpc.aio.Channel) -> None:
    """The mean log-probability of one output is the same whatever beam found it."""
    scores = {}
    for beams in (1, 4):
        answer = await translate(channel, "كيف حالك اليوم؟", beam_size=beams)
        scores[beams] = answer.translations[0].segments[0].score
    assert scores[1] == pytest.approx(scores[4], abs=0.05)


async def test_the_article_is_translated_whole(channel: grpc.aio.Channel, article: str) -> None:
    """As many paragraphs as the source, every segment accounted for, loops told."""
    (translation,) = (await translate(channel, article)).translations
    assert translation.text.count("\n\n") == article.count("\n\n")
    reached = 0
    for segment in translation.segments:
        assert not article[reached : segment.source.start].strip()
        assert segment.score <= 0
        reached = segment.source.end
    assert not article[reached:].strip()


async def test_the_article_is_summarized_both_ways(channel: grpc.aio.Channel, article: str) -> None:
    """LEAD and HIERARCHICAL give Arabic, say what they read, and the lead is translated."""
    lead = (await summarize(channel, article, target_language_code="en")).summary
    assert 20 < len(lead.text) < 400
    assert 0 < lead.coverage < 1
    assert lead.score < 0
    assert_english(lead.translation.text)
    assert [chunk.level for chunk in lead.chunks] == [0]
    hierarchical = summarization_pb2.LONG_DOCUMENT_STRATEGY_HIERARCHICAL
    whole = (await summarize(channel, article, long_document_strategy=hierarchical)).summary
    assert whole.coverage == 1.0
    assert len(whole.chunks) > 1
    for summary in (lead, whole):
        arabic = sum("\u0600" <= letter <= "\u06ff" for letter in summary.text)
        assert arabic > len(summary.text) / 2


async def test_the_engine_is_told(channel: grpc.aio.Channel) -> None:
    """GetModel says what runs the weights and in which arithmetic."""
    stub: Any = model_pb2_grpc.ModelServiceStub(channel)
    for model in (await stub.ListModels(model_pb2.ListModelsRequest(), timeout=30)).models:
        assert model.engine == "ctranslate2"
        assert model.compute_type.startswith("int8")
        assert model.demonstration


@pytest.mark.parametrize("isa", ["AVX2", "GENERIC"])
async def test_golden_outputs_hold_on_other_processors(tmp_path: Path, isa: str) -> None:
    """With the kernels of another instruction set both models pass their canary and answer."""
    with started(tmp_path / "stderr", CT2_FORCE_CPU_ISA=isa) as running:
        assert running.serving["ready"] is True
        async with grpc.aio.insecure_channel(running.serving["grpc"]) as channel:
            (translation,) = (await translate(channel, "كيف حالك اليوم؟")).translations
        assert_english(translation.text)


def calibrated(running: Running) -> dict[str, Any]:
    """The line about threads, once it is there."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for line in running.log.read_text("utf-8").splitlines():
            event: dict[str, Any] = json.loads(line)
            if event["event"] == "threads_calibrated":
                return event
        time.sleep(0.1)
    raise AssertionError(running.log.read_text("utf-8"))


@pytest.mark.skipif(usable_cores() < 2, reason="one usable core leaves no choice of threads")
def test_threads_are_calibrated_after_serving_and_remembered(tmp_path: Path) -> None:
    """The first process measures and writes a file; the second takes the choice from there."""
    path = tmp_path / "calibration.json"
    settings = {
        "KHULASA_MODELS": "demo-mt5-ar-summary",
        "KHULASA_CALIBRATION_FILE": str(path),
    }
    lines = []
    for start in ("first", "second"):
        with started(tmp_path / start, **settings) as running:
            lines.append(calibrated(running))
            with urlopen(f"http://{running.serving['metrics']}/metrics", timeout=10) as answer:
                metrics = answer.read().decode()
        source = lines[-1]["source"]
        assert f'reason="{source}"' in metrics.split("khulasa_engine_threads{")[1].split("}")[0]
    assert [line["source"] for line in lines] == ["calibrated", "file"]
    first, second = ({k: line[k] for k in ("threads", "lone_threads", "reason")} for line in lines)
    assert first == second
    assert len(json.loads(path.read_text("utf-8"))) == 1
