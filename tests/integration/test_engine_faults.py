"""Engines that raise, lose outputs or hang: who is told what, and what goes on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from khulasa_server.engines import proving
from khulasa_server.engines.scripted import ScriptedEngine, transliterate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from tests.integration.conftest import Gate, Service

    from khulasa_server.bundles.manifest import Manifest
    from khulasa_server.engines.base import Generation, GenerationOptions, Tokens

    Serve = Callable[..., AbstractAsyncContextManager[Service]]

TRANSLATOR = "demo-marian-ar-en"
SENTENCES = ("ذهب الولد إلى المدرسة", "قرأ الرجل كتابا", "سموم في الطعام", "أين يقع المتحف")
POISON = "سموم"


class LosingEngine(ScriptedEngine):
    """Returns one output too few for a batch with a certain word."""

    def generate(self, batch: Sequence[Tokens], options: GenerationOptions) -> list[Generation]:
        """As scripted, less one."""
        made = super().generate(batch, options)
        lost = any(POISON in "".join(tokens).replace("▁", " ") for tokens in batch)
        return made[:-1] if lost else made


async def together(service: Service) -> list[Any]:
    """All sentences in calls of their own, sent at once: their texts, or how they failed."""

    async def one(sentence: str) -> str:
        answer = await service.translate(sentence)
        return answer.translations[0].text

    return await asyncio.gather(*map(one, SENTENCES), return_exceptions=True)


async def assert_only_the_guilty_fails(service: Service) -> None:
    """INTERNAL for the sentence with poison, the right answers for the others, and all is well."""
    async with asyncio.timeout(30):
        outcomes = await together(service)
    for sentence, outcome in zip(SENTENCES, outcomes, strict=True):
        if POISON in sentence:
            assert isinstance(outcome, grpc.aio.AioRpcError)
            fault = service.fault_of(outcome)
            assert (fault.code, fault.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
        else:
            assert outcome == transliterate(sentence)
    await service.idle()
    await service.assert_well()


async def test_an_engine_that_raises_fails_the_guilty_item_alone(
    script: Callable[..., object], serve: Serve
) -> None:
    """Calls that shared its batch are answered."""
    script(poison=frozenset({POISON}))
    async with serve(threads="1x1") as service:
        await assert_only_the_guilty_fails(service)


async def test_an_engine_that_returns_too_few_results_fails_the_guilty_item_alone(
    monkeypatch: pytest.MonkeyPatch, serve: Serve
) -> None:
    """Nobody is given another one's output."""

    def load(_kind: str, _directory: object, manifest: Manifest, **_: int) -> ScriptedEngine:
        return LosingEngine(manifest)

    monkeypatch.setattr(proving, "load", load)
    async with serve(threads="1x1") as service:
        await assert_only_the_guilty_fails(service)


async def test_an_engine_that_hangs_holds_nobody(
    script: Callable[..., object], serve: Serve, gate: Gate
) -> None:
    """Long before their deadlines its callers are told, health turns, the other model serves.

    When the call ends after all, the engine is loaded again and the model serves.
    """
    script(only=TRANSLATOR, before=gate.hold)
    async with serve(stall_seconds=0.2, cache_bytes=0) as service:
        call = asyncio.create_task(service.translate(SENTENCES[0]))
        async with asyncio.timeout(20):
            await asyncio.to_thread(gate.wait)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            fault = service.fault_of(caught.value)
            assert (fault.code.name, fault.reason) == ("UNAVAILABLE", "ENGINE_FAILED")
            assert fault.retry_seconds > 0
            await service.until_not_serving()
        assert await service.health("khulasa.v1.SummarizationService") == "SERVING"
        gate.opened.set()
        async with asyncio.timeout(30):
            async for status in service.watch():
                if status == "SERVING":
                    break
        await service.assert_well()
