"""Servers as processes: started, looked into, terminated and killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any, Final

from tests.load.processes import environment, memory_mb
from tests.load.standins import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START_SECONDS: Final = 60.0
INSPECTED: Final = "tests.faults.inspected"
SETTINGS: Final = {
    "KHULASA_LISTEN": "127.0.0.1:0",
    "KHULASA_METRICS_LISTEN": "127.0.0.1:0",
    "KHULASA_LOG_LEVEL": "error",
    "KHULASA_DRAIN_DELAY": "1",
    "KHULASA_DRAIN_GRACE": "30",
}


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Ask again and again, but not for longer than some seconds."""
    end, pause = time.monotonic() + seconds, threading.Event()
    while not condition():
        assert time.monotonic() < end, f"{what} took more than {seconds:.0f} s"
        pause.wait(0.02)


@dataclass
class Replica:
    """A server in a process of its own.

    Args:
        process: of it; each line of its standard output is JSON.
        grpc: dialable address, once it serves.
        metrics: the same of its HTTP port.
    """

    process: subprocess.Popen[str]
    grpc: str = ""
    metrics: str = ""
    _lines: Queue[dict[str, Any]] = field(default_factory=Queue)

    def __post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read)

    def await_serving(self) -> None:
        """Read what it prints, from the line that says where it listens on."""
        self._reader.start()
        said = self.line("serving")
        self.grpc, self.metrics = said["grpc"], said["metrics"]
        assert said["ready"], said

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as printed:
            for line in printed:
                self._lines.put(json.loads(line))

    def line(self, event: str) -> dict[str, Any]:
        """The next line, which must be about an event."""
        try:
            said = self._lines.get(timeout=START_SECONDS)
        except Empty:
            raise AssertionError(f"no line about {event}") from None
        assert said["event"] == event, said
        return said

    def held(self) -> dict[str, Any]:
        """What it holds now; only of a server of `inspected`."""
        self.process.send_signal(signal.SIGUSR1)
        return self.line("held")

    def await_empty(self, seconds: float = 30.0) -> dict[str, Any]:
        """What it holds once no request is left in it."""
        seen: list[dict[str, Any]] = []

        def empty() -> bool:
            seen[:] = [self.held()]
            return not (seen[0]["requests"] or seen[0]["outstanding"] or seen[0]["depth"])

        until(empty, seconds, "letting go of every request")
        return seen[0]

    @property
    def rss_mb(self) -> float:
        """Resident memory now, in 10^6 bytes."""
        return memory_mb(self.process.pid, "VmRSS")

    def kill(self) -> None:
        """As the kernel does when memory is out."""
        self.process.kill()
        self.process.wait()
        self._reader.join()

    def end(self) -> Counter[str]:
        """Terminate it; calls that it ended, by `method code`. It must exit with status 0."""
        if self.process.poll() is None:
            self.process.terminate()
        said = self.line("ended")
        assert self.process.wait(60) == 0
        return Counter({name: int(count) for name, count in said["handled"].items()})


@contextmanager
def replica(
    module: str = INSPECTED, *, mute: bool = False, **settings: object
) -> Iterator[Replica]:
    """A server that serves; settings without their prefix, `FAULTS_…` as they are.

    Args:
        module: what to run; `khulasa_server` for the product itself.
        mute: thousands of defects are expected: do not show its log.
        settings: `engine`, `max_connections`, …
    """
    given = {
        name if name.startswith("FAULTS_") else f"KHULASA_{name.upper()}": str(value)
        for name, value in settings.items()
    }
    engine = {"KHULASA_ENGINE": "scripted"} if module == INSPECTED else {}
    command = [sys.executable, "-m", module, *(["serve"] if module == "khulasa_server" else [])]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if mute else None,
        env=environment(**{**SETTINGS, **engine, **given}),
        cwd=ROOT,
        text=True,
    )
    server = Replica(process)
    try:
        server.await_serving()
        yield server
    finally:
        server.kill()
