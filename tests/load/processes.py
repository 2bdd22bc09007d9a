"""Starting what is measured, each in a process and an environment of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from tests.load.calls import Load, Report
from tests.load.standins import BUILD, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

STOP_SECONDS: Final = 60
PARITY: Final = ROOT / "build" / "parity" / "bin" / "python"
"""Has torch and transformers; `make bench` installs it."""
UNSET: Final = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Tuning of a machine's own linear algebra; what is measured must not depend on it."""


class BenchError(Exception):
    """A measurement could not be made; the message says why."""


def environment(**more: str) -> dict[str, str]:
    """Of every measured process: this one's without tuning and KHULASA settings, one thread."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in UNSET and not name.startswith("KHULASA_")
    }
    return {**kept, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **more}


def run_module(
    module: str, task: Mapping[str, Any] | None = None, *, python: Path = Path(sys.executable)
) -> dict[str, Any]:
    """Give a module of this directory its task on stdin; its answer from stdout.

    Raises:
        BenchError: it failed.
    """
    done = subprocess.run(
        [python, "-m", f"tests.load.{module}"],
        input=json.dumps(task or {}),
        stdout=subprocess.PIPE,
        env=environment(),
        cwd=ROOT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"{module} ended with status {done.returncode}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def send(load: Load) -> Report:
    """Send a load from a generator process and wait for its end."""
    return Report.from_json(run_module("generator", load.to_json()))


@dataclass(slots=True)
class Running:
    """A server that serves.

    Args:
        process: of it.
        grpc: its address.
        metrics: address of its metrics; empty: it has none.
        ready_seconds: from its start to its `serving` line.
        record: where it writes what it measured itself, when it stops.
    """

    process: subprocess.Popen[str]
    grpc: str
    metrics: str
    ready_seconds: float
    record: Path | None

    def memory_mb(self, field: str = "VmHWM") -> float:
        """Resident memory now (`VmRSS`) or at most so far (`VmHWM`), in 10^6 bytes."""
        return memory_mb(self.process.pid, field)

    def samples(self) -> dict[str, float]:
        """Every sample of its metrics."""
        with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=30) as response:
            lines = response.read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def total(self, family: str) -> float:
        """Sum over all series of a counter."""
        return sum(
            value for name, value in self.samples().items() if name.partition("{")[0] == family
        )

    def stop(self) -> dict[str, Any]:
        """Stop it; what it measured itself.

        Raises:
            BenchError: it did not stop cleanly.
        """
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(STOP_SECONDS)
        if status:
            raise BenchError(f"a server stopped with status {status}")
        if self.record is None:
            return {}
        recorded: dict[str, Any] = json.loads(self.record.read_text("utf-8"))
        return recorded


def memory_mb(pid: int, field: str = "VmHWM") -> float:
    """A process' resident memory, in 10^6 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise BenchError(f"process {pid} is gone")


def product(settings: Mapping[str, str]) -> AbstractContextManager[Running]:
    """The product's own server, nothing exchanged; settings as `server` takes them."""
    return _running([sys.executable, "-m", "khulasa_server", "serve"], settings)


def server(
    *flags: str,
    module: str = "serve",
    python: Path = Path(sys.executable),
    settings: Mapping[str, str] | None = None,
) -> AbstractContextManager[Running]:
    """A server of this directory, stopped in any case.

    Args:
        flags: of the module.
        module: `serve`, the product with something measured or exchanged; or a baseline.
        python: that runs it.
        settings: `KHULASA_…` variables, without the prefix.
    """
    BUILD.mkdir(parents=True, exist_ok=True)
    record = BUILD / f"record-{uuid4().hex}.json"
    command = [str(python), "-m", f"tests.load.{module}", "--record", str(record), *flags]
    return _running(command, settings or {}, record)


@contextmanager
def _running(
    command: Sequence[str], settings: Mapping[str, str], record: Path | None = None
) -> Iterator[Running]:
    started = time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, env=environment(**_settings(settings)), cwd=ROOT, text=True
    )
    try:
        line = serving_line(process)
        ready = time.monotonic() - started
        yield Running(process, line["grpc"], line.get("metrics", ""), ready, record)
    finally:
        process.kill()
        process.wait()
        if record is not None:
            record.unlink(missing_ok=True)


def _settings(chosen: Mapping[str, str]) -> dict[str, str]:
    common = {
        # As is best for volume on 2 cores; the search for it would run into what is measured.
        "THREADS": f"{len(os.sched_getaffinity(0))}x1",
        "LISTEN": "127.0.0.1:0",
        "METRICS_LISTEN": "127.0.0.1:0",
        "DRAIN_DELAY": "0",
        "LOG_LEVEL": "error",
    }
    return {f"KHULASA_{name}": value for name, value in {**common, **chosen}.items()}


def serving_line(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The line with which a server says where it listens.

    Raises:
        BenchError: it ended, or is not ready.
    """
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise BenchError(f"a server ended with status {process.wait(STOP_SECONDS)}")
    said: dict[str, Any] = json.loads(line)
    if not said.get("ready", True):
        raise BenchError(f"a server is not ready: {said['models']}")
    return said


def joined(paths: Sequence[Path]) -> str:
    """Bundle directories as the setting `MODELS`."""
    return ",".join(map(str, paths))
