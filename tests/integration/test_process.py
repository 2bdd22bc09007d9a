"""The server as a process: what it prints, how signals end it, and with which status."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from khulasa.v1 import model_pb2, model_pb2_grpc, translation_pb2, translation_pb2_grpc
from khulasa_server.bundles.manifest import MANIFEST_NAME, digest_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SENTENCE: Final = "ذهب الولد إلى المدرسة"

HELD: Final = """
import sys
from khulasa_server.engines import proving
from khulasa_server.engines.scripted import Script, ScriptedEngine

loads = sys.argv[1:-1]
del sys.argv[1:-1]

def wait(what):
    print(what, flush=True)
    sys.stdin.readline()

def load(kind, directory, manifest, **plan):
    if loads.pop(0) == "loading":
        wait("loading")
    return ScriptedEngine(manifest, Script(before=lambda call: wait("held")))

proving.load = load
from khulasa_server.cli import main
main()
"""
"""A server whose models, or whose batches, wait for a line on standard input."""


@asynccontextmanager
async def process(*loads: str, **more: str) -> AsyncIterator[Process]:
    """A server; for each model whether it is `loading` until told, or loads at once.

    Args:
        loads: what each model does.
        more: settings, without their prefix.
    """
    settings = {
        "KHULASA_ENGINE": "scripted",
        "KHULASA_LISTEN": "127.0.0.1:0",
        "KHULASA_METRICS_LISTEN": "127.0.0.1:0",
        "KHULASA_DRAIN_DELAY": "0",
        **{f"KHULASA_{name.upper()}": value for name, value in more.items()},
    }
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", HELD, *loads, "serve"),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, **settings},
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
            await started.communicate()


async def line(started: Process) -> str:
    """The next line of standard output."""
    assert started.stdout is not None
    async with asyncio.timeout(60):
        return (await started.stdout.readline()).decode().rstrip("\n")


def go_on(started: Process) -> None:
    """Let one thing that waits go on."""
    assert started.stdin is not None
    started.stdin.write(b"\n")


async def ended(started: Process, status: int = 0) -> tuple[list[str], list[dict[str, Any]]]:
    """What else it printed, and what it logged; it must end with this status."""
    async with asyncio.timeout(60):
        printed, logged = await started.communicate()
    events = [json.loads(each) for each in logged.splitlines()]
    assert started.returncode == status, events
    return printed.decode().splitlines(), events


def translate(channel: grpc.aio.Channel) -> asyncio.Task[Any]:
    """A call in flight."""
    stub: Any = translation_pb2_grpc.TranslationServiceStub(channel)

    async def call() -> Any:  # noqa: ANN401 - a response
        request = translation_pb2.TranslateRequest(contents=[SENTENCE])
        return await stub.Translate(request, timeout=60)

    return asyncio.create_task(call())


async def watch(channel: grpc.aio.Channel) -> AsyncIterator[str]:
    """Names of the health of the whole, as it changes."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    async for answer in stub.Watch(health_pb2.HealthCheckRequest()):
        yield health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


async def test_a_signal_lets_a_call_in_flight_finish() -> None:
    """SIGTERM: health turns, the call is answered, one line was printed, the status is 0."""
    async with process("now", "now") as server:
        serving = json.loads(await line(server))
        assert serving["event"] == "serving"
        assert serving["ready"] is True
        assert set(serving["models"].values()) == {"ready"}
        assert serving["metrics"].startswith("127.0.0.1:")
        async with grpc.aio.insecure_channel(serving["grpc"]) as channel:
            health = watch(channel)
            assert await anext(health) == "SERVING"
            call = translate(channel)
            assert await line(server) == "held"
            server.send_signal(signal.SIGTERM)
            assert await anext(health) == "NOT_SERVING"
            assert not call.done()
            go_on(server)
            assert (await call).translations[0].text == "Dhb alwld Ile almdrsG"
            printed, logged = await ended(server)
    assert printed == []
    events = [each["event"] for each in logged]
    assert events.count("demonstration_model") == 2
    assert events[-2:] == ["draining", "stopped"]
    built = [each["production_build"] for each in logged if each["event"] == "demonstration_model"]
    assert all(each.startswith("khulasa-server models build") for each in built)


async def test_a_second_signal_does_not_wait() -> None:
    """The call in flight is cut off, what runs in the engine ends, the status is 0 still."""
    async with process("now", "now") as server:
        serving = json.loads(await line(server))
        async with grpc.aio.insecure_channel(serving["grpc"]) as channel:
            health = watch(channel)
            assert await anext(health) == "SERVING"
            call = translate(channel)
            assert await line(server) == "held"
            server.send_signal(signal.SIGTERM)
            assert await anext(health) == "NOT_SERVING"
            server.send_signal(signal.SIGTERM)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            go_on(server)
            await ended(server)


async def test_an_engine_that_hangs_does_not_keep_the_process_alive() -> None:
    """Its caller is told before the grace ends, the process ends after it, and its status tells."""
    async with process("now", "now", drain_grace="2") as server:
        serving = json.loads(await line(server))
        async with grpc.aio.insecure_channel(serving["grpc"]) as channel:
            call = translate(channel)
            assert await line(server) == "held"
            server.send_signal(signal.SIGTERM)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            _, logged = await ended(server, status=3)
    stuck = [each for each in logged if each["event"] == "engine_stuck"]
    assert [each["models"] for each in stuck] == [["demo-marian-ar-en"]]


async def test_sighup_takes_over_a_bundle(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """What was written in place is served after SIGHUP by the same process; not while it stops."""
    directory = tmp_path / "bundle"
    shutil.copytree(pytestconfig.rootpath / "tests/data/engines/marian/bundle", directory)
    file = directory / MANIFEST_NAME
    content = json.loads(file.read_bytes())
    content["source"]["revision"] = "second"
    content["digest"] = digest_of(content)
    async with process("now", "now", models=str(directory)) as server:
        serving = json.loads(await line(server))
        async with grpc.aio.insecure_channel(serving["grpc"]) as channel:
            stub: Any = model_pb2_grpc.ModelServiceStub(channel)
            file.write_text(json.dumps(content), "utf-8")
            server.send_signal(signal.SIGHUP)
            request = model_pb2.GetModelRequest(name="checkpoint")
            async with asyncio.timeout(30):
                while (await stub.GetModel(request)).model.revision != "second":  # noqa: ASYNC110 - of a process
                    await asyncio.sleep(0.02)
            health = watch(channel)
            assert await anext(health) == "SERVING"
            call = translate(channel)
            assert await line(server) == "held"
            server.send_signal(signal.SIGTERM)
            assert await anext(health) == "NOT_SERVING"
            server.send_signal(signal.SIGHUP)
            go_on(server)
            assert (await call).translations[0].model.digest == content["digest"]
            _, logged = await ended(server)
    events = [each["event"] for each in logged]
    assert events.count("model_replaced") == 1
    assert events[-2:] == ["reload_ignored", "stopped"]


async def test_ctrl_c_stops_an_idle_server() -> None:
    """SIGINT is SIGTERM to it: status 0, no traceback."""
    async with process("now", "now") as server:
        await line(server)
        server.send_signal(signal.SIGINT)
        printed, logged = await ended(server)
    assert printed == []
    assert {each["level"] for each in logged} <= {"info", "warning"}


async def test_a_signal_ends_a_server_that_still_loads() -> None:
    """It never says that it serves, and what loads is waited for."""
    async with process("loading", "now") as server:
        assert await line(server) == "loading"
        server.send_signal(signal.SIGTERM)
        go_on(server)
        printed, logged = await ended(server)
    assert printed == []
    assert logged[-1]["event"] == "stopped"
