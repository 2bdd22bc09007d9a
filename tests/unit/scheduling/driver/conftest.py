"""A scripted engine whose calls end when the test says so, and an asyncio scheduler."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from khulasa_server.engines.base import EngineError, Finish, Generation, GenerationOptions
from khulasa_server.scheduling import Scheduler, SchedulerSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from khulasa_server.engines.base import Timing, Tokens

POISON = "☠"


@dataclass
class GateEngine:
    """Answers with its input in upper case, as soon as the gate is open.

    Args:
        gate: calls wait until it is set.
        broken: every call raises.
        delay: seconds that each call takes at least.
    """

    gate: threading.Event = field(default_factory=threading.Event)
    broken: bool = False
    delay: float = 0.0
    closed: bool = False
    calls: list[list[Tokens]] = field(default_factory=list)
    options: list[GenerationOptions] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    thread_names: set[str] = field(default_factory=set)
    name: str = "gate"
    compute_type: str = "float32"
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def __post_init__(self) -> None:
        self.gate.set()

    async def called(self) -> None:
        """Wait until one more call came in."""
        assert await asyncio.to_thread(self.entered.acquire, timeout=30), "nobody called"

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """Words are tokens."""
        return [tuple(text.split()) for text in texts]

    def generate(self, batch: Sequence[Tokens], options: GenerationOptions) -> list[Generation]:
        """Answer, or raise on poison."""
        self.calls.append(list(batch))
        self.options.append(options)
        self.threads.add(threading.get_ident())
        self.thread_names.add(threading.current_thread().name)
        self.entered.release()
        assert self.gate.wait(30), "the test never opened the gate"
        time.sleep(self.delay)
        if self.closed or self.broken or any(POISON in tokens for tokens in batch):
            raise EngineError("scripted failure")
        return [
            Generation(" ".join(tokens).upper(), tokens, -0.5, Finish.LENGTH) for tokens in batch
        ]

    def score(self, batch: Sequence[Tokens], targets: Sequence[Tokens]) -> list[list[float]]:
        """Every token is certain."""
        del batch
        return [[0.0] * (len(target) + 1) for target in targets]

    def warm_up(self, workers: int = 1) -> tuple[Timing, ...]:
        """Nothing is cold."""
        del workers
        return ()

    def close(self) -> None:
        """Refuse later calls."""
        self.closed = True


@pytest.fixture(autouse=True)
async def heard() -> AsyncIterator[list[dict[str, Any]]]:
    """Whatever a callback of the loop raises ends the test, which might wait for it for ever."""
    told: list[dict[str, Any]] = []

    def hear(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        told.append(context)
        for task in asyncio.all_tasks(loop):
            task.cancel()

    asyncio.get_running_loop().set_exception_handler(hear)
    yield told
    assert not told


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    """Two worker threads."""
    with ThreadPoolExecutor(2, thread_name_prefix="engine") as pool:
        yield pool


@pytest.fixture
def engine() -> Iterator[GateEngine]:
    """A scripted engine, its gate open; opened at the end so that no thread is left behind."""
    scripted = GateEngine()
    yield scripted
    scripted.gate.set()


@pytest.fixture
def make_engine() -> type[GateEngine]:
    """Makes more scripted engines."""
    return GateEngine


@pytest.fixture
def make_scheduler(executor: ThreadPoolExecutor) -> Callable[..., Scheduler]:
    """Makes a scheduler with given settings; two slots if nothing else is said."""

    def make(**kwargs: Any) -> Scheduler:  # noqa: ANN401 - settings and observers
        extras = {key: kwargs.pop(key) for key in ("observer", "on_health") if key in kwargs}
        return Scheduler(
            SchedulerSettings(**{"slots": 2, **kwargs}),
            executor=executor,
            rng=random.Random(7),  # noqa: S311 - jitter, not a secret
            **extras,
        )

    return make
