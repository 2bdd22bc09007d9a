"""Neither texts nor tokens are in anything a server writes, whatever happens to a call."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import grpc

from khulasa.v1 import (
    summarization_pb2,
    summarization_pb2_grpc,
    translation_pb2,
    translation_pb2_grpc,
)
from khulasa_server.engines.scripted import transliterate
from khulasa_server.rpc.tokens import hash_of, line_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    Metadata = tuple[tuple[str, str], ...]

ARABIC: Final = "المكتومات"
LATIN: Final = "Confidential"
TOKEN: Final = "token-of-somebody-that-nobody-may-see"  # noqa: S105 - of this test
POISON: Final = "سموم"
DEFECT: Final = "علة"
MARKED: Final = (ARABIC, transliterate(ARABIC), LATIN, TOKEN, "may-see")

# A server whose engine fails, with its input in the message, as a defect would.
PROGRAM: Final = f"""
from khulasa_server import cli
from khulasa_server.engines import proving
from khulasa_server.engines.scripted import Script, ScriptedEngine

def before(call):
    for tokens in call.batch:
        text = "".join(tokens)
        if {DEFECT!r} in text:
            raise LookupError(text)

def load(kind, directory, manifest, **_):
    return ScriptedEngine(manifest, Script(before=before, poison=frozenset([{POISON!r}])))

proving.load = load
cli.main()
"""


def texts() -> Iterator[str]:
    """All of them hold what must not be seen, and each fares differently."""
    text = f"هذا نص فيه {ARABIC} و {LATIN} أيضا."
    yield text
    yield f"{text} {POISON}"
    yield f"{text} {DEFECT}"
    yield f"{text}\0"
    yield text * 2000
    yield LATIN
    yield " ".join([ARABIC] * 4000)


def wishes() -> Iterator[dict[str, Any]]:
    """Texts in fields where they do not belong."""
    yield {}
    yield {"model": f"{LATIN} {ARABIC}"}
    yield {"target_language_code": LATIN}


async def test_no_text_and_no_token_is_written(tmp_path: Path) -> None:
    """At the most talkative level, good calls, refusals, defects and garbage leave no trace."""
    tokens = tmp_path / "tokens"
    await asyncio.to_thread(tokens.write_text, line_of("somebody", hash_of(TOKEN)))
    error_log = tmp_path / "stderr"
    with error_log.open("wb") as stream:
        server = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", PROGRAM, "serve", "--engine", "scripted", "--log-level", "debug"),
            *("--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"),
            *("--drain-delay", "0", "--tokens-file", str(tokens)),
            env={**os.environ, "GRPC_VERBOSITY": "debug"},
            stdout=asyncio.subprocess.PIPE,
            stderr=stream,
        )
    assert server.stdout is not None
    said = await server.stdout.readline()
    serving = json.loads(said)
    async with grpc.aio.insecure_channel(serving["grpc"]) as channel:
        for number in range(3):
            # Without a token, with a wrong one, and let in.
            header = ("", f"Bearer {TOKEN}-{LATIN}", f"Bearer {TOKEN}")[number]
            await speak(channel, (("authorization", header), ("x-mine", LATIN)))
    said += await scraped(serving["metrics"])
    server.terminate()
    assert await server.wait() == 0
    said += await server.stdout.read()
    said += error_log.read_bytes()

    written = said.decode()
    for mark in MARKED:
        assert mark not in written
        assert json.dumps(mark)[1:-1] not in written
    events = [json.loads(line) for line in written.splitlines() if line.startswith('{"time')]
    assert {"refused", "defect"} <= {event["event"] for event in events}
    reasons = {event.get("reason") for event in events}
    assert {"TOKEN_INVALID", "TEXT_TOO_LONG", "TEXT_INVALID", "MODEL_NOT_FOUND"} <= reasons
    assert "MESSAGE_INVALID" in reasons


async def scraped(address: str) -> bytes:
    """What the HTTP port says."""
    async with aiohttp.ClientSession() as session:
        answers = [
            await (await session.get(f"http://{address}/{path}")).read()
            for path in ("metrics", "readyz", LATIN)
        ]
    return b"".join(answers[:2])


async def speak(channel: grpc.aio.Channel, metadata: Metadata) -> None:
    """Send every text in every way."""
    for text in texts():
        for wish in wishes():
            await settle(unary(channel, text, wish, metadata))
        await settle(stream(channel, text, metadata))
        await settle(bulk(channel, text, metadata))
    await settle(odd(channel, metadata))


async def settle(calls: AsyncIterator[object]) -> None:
    """Read the answers of calls to their end."""
    async for _ in calls:
        pass


async def unary(
    channel: grpc.aio.Channel, text: str, wish: dict[str, Any], metadata: Metadata
) -> AsyncIterator[object]:
    """One answer each."""
    translation: Any = translation_pb2_grpc.TranslationServiceStub(channel)
    summarization: Any = summarization_pb2_grpc.SummarizationServiceStub(channel)
    translate = translation_pb2.TranslateRequest(contents=[text], **wish)
    with suppress(grpc.aio.AioRpcError):
        yield await translation.Translate(translate, timeout=30, metadata=metadata)
    summarize = summarization_pb2.SummarizeRequest(text=text, **wish)
    with suppress(grpc.aio.AioRpcError):
        yield await summarization.Summarize(summarize, timeout=30, metadata=metadata)


async def stream(channel: grpc.aio.Channel, text: str, metadata: Metadata) -> AsyncIterator[object]:
    """Read to the end, and given up after the first answer."""
    stub: Any = translation_pb2_grpc.TranslationServiceStub(channel)
    request = translation_pb2.StreamTranslateRequest(text=f"{text}\n{text}")
    with suppress(grpc.aio.AioRpcError):
        async for answer in stub.StreamTranslate(request, timeout=30, metadata=metadata):
            yield answer
    call = stub.StreamTranslate(request, timeout=30, metadata=metadata)
    with suppress(grpc.aio.AioRpcError):
        yield await call.read()
    call.cancel()


async def bulk(channel: grpc.aio.Channel, text: str, metadata: Metadata) -> AsyncIterator[object]:
    """Also with the text as an id, and twice the same."""
    translation: Any = translation_pb2_grpc.TranslationServiceStub(channel)
    summarization: Any = summarization_pb2_grpc.SummarizationServiceStub(channel)
    ids = ["1", LATIN, LATIN, "", ARABIC * 100]
    items = [translation_pb2.BulkTranslateRequest(id=each, content=text) for each in ids]
    with suppress(grpc.aio.AioRpcError):
        async for answer in translation.BulkTranslate(iter(items), timeout=60, metadata=metadata):
            yield answer
    long = [summarization_pb2.BulkSummarizeRequest(id=each, content=text) for each in ids]
    with suppress(grpc.aio.AioRpcError):
        async for answer in summarization.BulkSummarize(iter(long), timeout=60, metadata=metadata):
            yield answer


async def odd(channel: grpc.aio.Channel, metadata: Metadata) -> AsyncIterator[object]:
    """What no stub sends: garbage, a method that is not there, a message too long, no time."""
    text = f"{LATIN} {ARABIC}".encode()
    for data in (text, b"\x0a" + bytes([len(text)]) + text[:-1] + b"\xff", text * 200_000):
        for path in ("TranslationService/Translate", f"TranslationService/{LATIN}"):
            call: Any = channel.unary_unary(f"/khulasa.v1.{path}")
            for timeout in (30, 0.001):
                with suppress(grpc.aio.AioRpcError):
                    yield await call(data, timeout=timeout, metadata=metadata)
