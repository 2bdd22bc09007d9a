"""The verbs of the server apart from the network: what they say, and what they leave behind."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from khulasa_server.config import Settings
from khulasa_server.engines import memory
from khulasa_server.server import Server
from khulasa_server.tasks.catalog import ModelState

if TYPE_CHECKING:
    from collections.abc import Iterator

FREE: dict[str, Any] = {
    "engine": "scripted",
    "listen": "127.0.0.1:0",
    "metrics_listen": "127.0.0.1:0",
    "drain_delay": 0.0,
}


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    """What is logged."""
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """How this process looks for cycles, as it was."""
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


def server(**settings: Any) -> Server:  # noqa: ANN401 - any setting
    """On free ports, with scripted engines."""
    return Server(Settings(**{**FREE, **settings}))


async def test_one_line_says_where_it_serves(capsys: pytest.CaptureFixture[str]) -> None:
    """The only line on standard output: addresses that can be dialled, and what is ready."""
    made = server(listen="[::]:0", metrics_listen="[::]:0")
    await made.startup()
    made.request_stop()
    await made.serve()
    await made.drain()
    await made.stop()
    line = json.loads(capsys.readouterr().out)
    assert line["event"] == "serving"
    assert line["grpc"] == made.grpc_address
    assert line["metrics"] == made.metrics_address
    assert all(line[port].startswith("127.0.0.1:") for port in ("grpc", "metrics"))
    assert line["ready"] is True
    assert line["models"] == dict.fromkeys(("demo-marian-ar-en", "demo-mt5-ar-summary"), "ready")


async def test_a_stopped_server_leaves_nothing_running() -> None:
    """No thread of its own, no engine, and drained models are said to be."""
    before = set(threading.enumerate())
    made = server()
    await made.startup()
    assert {model.state for model in made.catalog} == {ModelState.READY}
    await made.drain()
    assert {model.state for model in made.catalog} == {ModelState.DRAINING}
    await made.stop()
    assert all(model.engine is None for model in made.catalog)
    own = [each.name for each in set(threading.enumerate()) - before]
    assert not [name for name in own if name.startswith(("engine", "text", "metrics"))]


def threads() -> set[int]:
    """Every thread of this process, those of libraries included."""
    return {int(thread.name) for thread in Path("/proc/self/task").iterdir()}


async def test_its_threads_do_not_interrupt_each_other() -> None:
    """What a server starts takes no core from an engine because it wakes."""
    before = threads()
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    made = server()
    await made.startup()
    policies = {os.sched_getscheduler(thread) for thread in threads() - before}
    await made.drain()
    await made.stop()
    assert policies == {os.SCHED_BATCH}


async def test_a_server_that_never_started_can_be_stopped() -> None:
    """Whatever failed before the first port was bound, stopping is no second failure."""
    await server().stop()


async def test_run_serves_until_it_is_told_to_stop(logged: list[Any]) -> None:
    """All four verbs, in order, on one request to stop."""
    made = server()
    made.request_stop()
    await made.run()
    assert [line["event"] for line in logged][-2:] == ["draining", "stopped"]


async def test_cycles_are_looked_for_rarely_once_the_models_are_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the models are made of is there when what is there is set apart."""
    seen: list[set[ModelState]] = []
    made = server()

    def collect_rarely() -> None:
        seen.append({model.state for model in made.catalog})
        made.request_stop()

    monkeypatch.setattr(memory, "collect_rarely", collect_rarely)
    await made.run()
    assert seen == [{ModelState.READY}]


async def test_a_failed_start_stops_what_had_started(logged: list[Any]) -> None:
    """A taken port ends `run` with its error after everything was freed."""
    first = server()
    await first.startup()
    second = server(metrics_listen=first.metrics_address)
    with pytest.raises(OSError, match="cannot listen on"):
        await second.run()
    assert [line["event"] for line in logged][-1] == "stopped"
    await first.drain()
    await first.stop()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"listen": "nowhere"}, "KHULASA_LISTEN: 'nowhere' is not host:port"),
        ({"metrics_listen": "x:y"}, "KHULASA_METRICS_LISTEN: 'x:y' is not host:port"),
        ({"threads": "x"}, "KHULASA_THREADS is 'x'; it must be 'auto' or like '2x1'"),
        ({"required_services": ("Echo",)}, "KHULASA_REQUIRED_SERVICES: no such service: Echo"),
        ({"models": ("demo-marian-ar-en",) * 2}, "KHULASA_MODELS: two bundles are called"),
        ({"models": ("/no/such",)}, "KHULASA_MODELS: '/no/such' is neither"),
    ],
)
async def test_a_contradiction_names_its_setting(settings: dict[str, Any], said: str) -> None:
    """Before anything is bound or loaded."""
    with pytest.raises(ValueError, match=f"^{said.replace('(', '.')}"):
        server(**settings)


async def test_a_directory_is_a_model_too(tmp_path: Path) -> None:
    """Names of embedded bundles and paths can be mixed; a directory that is none is named."""
    with pytest.raises(ValueError, match=r"KHULASA_MODELS: .* is not a bundle"):
        server(models=("demo-marian-ar-en", str(tmp_path)))


async def test_a_signal_wakes_the_loop() -> None:
    """A signal that arrives just before an idle loop goes to sleep is not forgotten.

    A handler of `signal.signal` runs when the interpreter next takes a step, which may be at the
    next call; the descriptor that C writes to ends the sleep itself.
    """
    made = server()
    running = asyncio.create_task(made.run())
    await asyncio.sleep(0)
    wakes = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakes)
    assert wakes != -1
    signal.raise_signal(signal.SIGTERM)
    await running
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


async def test_a_server_that_has_not_loaded_is_not_ready() -> None:
    """Before anything is bound every model is known and none serves, so no call can slip in."""
    made = server()
    assert {model.state for model in made.catalog} == {ModelState.LOADING}
    assert not made.board.ready()
    assert set(made.board.waiting_for()) == {
        "khulasa.v1.TranslationService",
        "khulasa.v1.SummarizationService",
    }
    await made.stop()
