"""Nothing on the event loop waits for a disk, a lock, a socket or an engine."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from blockbuster import blockbuster_ctx

from khulasa.v1 import common_pb2, model_pb2, summarization_pb2, translation_pb2
from khulasa_server.engines.scripted import ScriptedEngine

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    import pytest
    from tests.integration.conftest import Service

    Serve = Callable[..., AbstractAsyncContextManager[Service]]

SENTENCE: Final = "ذهب الولد إلى المدرسة"
LONG: Final = (SENTENCE + " . ") * 1_250
HIERARCHICAL: Final = summarization_pb2.LONG_DOCUMENT_STRATEGY_HIERARCHICAL


async def test_no_request_blocks_the_loop(
    serve: Serve, article: str, logged: list[dict[str, Any]]
) -> None:
    """Calls of every kind, the longest text, refusals, probes, a scrape, and the drain."""
    async with serve() as service:
        assert len(LONG) == 30_000
        # A blocking call on the way of the server's own code raises where it is made.
        with blockbuster_ctx("khulasa_server"):
            for text in (SENTENCE, article, LONG, "", "12"):
                await everything(service, text)
            for path in ("/metrics", "/livez", "/readyz"):
                assert (await service.get(path)).status == 200
            await service.models.ListModels(model_pb2.ListModelsRequest(), timeout=30)
            await service.health()
            await service.server.drain()
    assert not [line for line in logged if line["log_level"] in {"error", "critical"}]


async def everything(service: Service, text: str) -> None:
    """The text by every method, one way or another."""
    translate, summarize = service.translation, service.summarization
    options = common_pb2.Options(cache_mode=common_pb2.CACHE_MODE_BYPASS)
    unary = translation_pb2.TranslateRequest(contents=[SENTENCE, text], options=options)
    await translate.Translate(unary, timeout=60)
    stream = translation_pb2.StreamTranslateRequest(text=text, options=options)
    async for _ in translate.StreamTranslate(stream, timeout=60):
        pass
    items = [translation_pb2.BulkTranslateRequest(id=f"{n}", content=text) for n in range(2)]
    answers = [answer async for answer in translate.BulkTranslate(iter(items), timeout=60)]
    assert {answer.WhichOneof("result") for answer in answers} == {"translation"}
    gist = summarization_pb2.BulkSummarizeRequest(
        id="1", content=text, target_language_code="en", long_document_strategy=HIERARCHICAL
    )
    summaries = [answer async for answer in summarize.BulkSummarize(iter([gist]), timeout=60)]
    assert {answer.WhichOneof("result") for answer in summaries} == {"summary"}
    await service.refused(
        service.translate(text + "\0"),
        "TEXT_INVALID" if len(text) < 30_000 else "TEXT_TOO_LONG",
        "contents[0]",
        field="contents[0]",
        **(
            {"position": str(len(text))}
            if len(text) < 30_000
            else {"limit": "30000", "actual": "30001"}
        ),
    )


async def test_a_blocking_request_would_be_seen(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tokenizer that waited on the loop would fail the test above."""
    tokenize = ScriptedEngine.tokenize

    def waiting(self: ScriptedEngine, texts: Any) -> Any:  # noqa: ANN401 - passed on
        time.sleep(0.001)
        return tokenize(self, texts)

    monkeypatch.setattr(ScriptedEngine, "tokenize", waiting)
    async with serve() as service:
        with blockbuster_ctx("khulasa_server"):
            await service.refused(service.translate(SENTENCE), "INTERNAL", code="INTERNAL")


async def test_engines_and_long_texts_run_in_threads(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No batch is generated, and no long text is tokenized, in the thread of the loop."""
    loop_thread = threading.get_ident()
    offences: list[str] = []
    generate, tokenize = ScriptedEngine.generate, ScriptedEngine.tokenize

    def watched_generate(self: ScriptedEngine, *arguments: Any) -> Any:  # noqa: ANN401 - passed on
        if threading.get_ident() == loop_thread:
            offences.append("generate")
        return generate(self, *arguments)

    def watched_tokenize(self: ScriptedEngine, texts: Any) -> Any:  # noqa: ANN401 - passed on
        if threading.get_ident() == loop_thread and sum(map(len, texts)) > 600:
            offences.append(f"tokenize {sum(map(len, texts))}")
        return tokenize(self, texts)

    monkeypatch.setattr(ScriptedEngine, "generate", watched_generate)
    monkeypatch.setattr(ScriptedEngine, "tokenize", watched_tokenize)
    async with serve() as service:
        await everything(service, LONG)
        await everything(service, "ب" * 5_000)
    assert offences == []


async def test_the_loop_turns_while_an_engine_works(
    script: Callable[..., object], serve: Serve
) -> None:
    """A batch waits in its thread until the loop has answered something else."""
    answered = threading.Event()
    script(before=lambda _call: answered.wait(30))
    async with serve() as service:
        call = asyncio.create_task(service.translate(SENTENCE))
        assert await service.health() == "SERVING"
        assert (await service.get("/metrics")).status == 200
        answered.set()
        await call
