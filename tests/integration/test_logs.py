"""What a real server writes while it works: JSON lines, and no text of a user."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import grpc

from khulasa.v1 import summarization_pb2, summarization_pb2_grpc, translation_pb2
from khulasa.v1.translation_pb2_grpc import TranslationServiceStub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ARABIC = "خاص"
LATIN = "Confidential"
TEXT = f"هذا نص {ARABIC} لا يجوز تسجيله {LATIN} أبدا."


async def test_no_text_reaches_the_log(tmp_path: Path) -> None:
    """At the most talkative level, good and refused calls of every kind leave no word of theirs."""
    log = tmp_path / "stderr"
    settings = {
        "KHULASA_ENGINE": "scripted",
        "KHULASA_LISTEN": "127.0.0.1:0",
        "KHULASA_METRICS_LISTEN": "127.0.0.1:0",
        "KHULASA_DRAIN_DELAY": "0",
        "KHULASA_LOG_LEVEL": "debug",
    }
    with log.open("wb") as stream:
        server = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "khulasa_server", "serve"),
            env={**os.environ, **settings},
            stdout=subprocess.PIPE,
            stderr=stream,
        )
    assert server.stdout is not None
    address = json.loads(await server.stdout.readline())["grpc"]
    async with grpc.aio.insecure_channel(address) as channel:
        await speak(channel)
    server.terminate()
    assert await server.wait() == 0
    assert await server.stdout.read() == b""

    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert {"refused", "stopped"} <= {event["event"] for event in events}
    for event in events:
        written = json.dumps(event, ensure_ascii=False)
        assert ARABIC not in written
        assert LATIN not in written
    requests = {event["request_id"] for event in events if event["event"] == "refused"}
    assert len(requests) == len(list(refused()))


async def speak(channel: grpc.aio.Channel) -> None:
    """Send the text in every way there is."""
    translation: Any = TranslationServiceStub(channel)
    summarization: Any = summarization_pb2_grpc.SummarizationServiceStub(channel)
    for request in (translation_pb2.TranslateRequest(contents=[TEXT]), *refused()):
        with suppress(grpc.aio.AioRpcError):
            await translation.Translate(request, timeout=30)
    async for _ in translation.StreamTranslate(
        translation_pb2.StreamTranslateRequest(text=TEXT), timeout=30
    ):
        pass
    items = [translation_pb2.BulkTranslateRequest(id=str(n), content=TEXT) for n in range(3)]
    async for _ in translation.BulkTranslate(iter(items)):
        pass
    await summarization.Summarize(
        summarization_pb2.SummarizeRequest(text=TEXT * 20, target_language_code="en"), timeout=30
    )


def refused() -> Iterator[translation_pb2.TranslateRequest]:
    """Requests that hold the text and are wrong in different ways."""
    make = translation_pb2.TranslateRequest
    yield make(contents=[TEXT + "\0"])
    yield make(contents=[TEXT * 1000])
    yield make(contents=[TEXT], model="no-such-model")
    yield make(contents=[TEXT], source_language_code="xx")
    yield make(contents=[LATIN])
    yield make(contents=[TEXT] * 129)
