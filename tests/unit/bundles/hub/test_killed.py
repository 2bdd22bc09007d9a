"""A build that is killed leaves nothing half-made, and the next one goes on where it was."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import pytest
import safetensors.numpy
from tests.unit.bundles.hub.fake import COMMIT, REPOSITORY

from khulasa_server.bundles import store

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.bundles.hub.fake import FakeHub

WEIGHTS = "model.safetensors"
PATIENCE = 60.0
MIB = 1 << 20

BUILD = "from khulasa_server.cli.models import app; app()"
DIE_CONVERTED = f"""
import os, signal
from khulasa_server.bundles.building import describe
describe.draft = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
{BUILD}
"""


@pytest.fixture
def build(fake: FakeHub, tmp_path: Path) -> list[str]:
    """The command, a user's environment around it; a program comes before its arguments."""
    set_up = (f"HF_ENDPOINT={fake.endpoint}", f"HF_HOME={tmp_path / 'home'}", "OMP_NUM_THREADS=1")
    return ["env", *set_up, sys.executable, "-c"]


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """Of the command."""
    output = tmp_path / "models" / "tiny"
    return ["build", REPOSITORY, "--revision", "main", "--output", str(output), "--no-compare"]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run to the end."""
    return subprocess.run(command, capture_output=True, text=True, check=False)


def run_on_terminal(command: list[str]) -> tuple[int, str]:
    """Run to the end with a terminal for errors; its status, and what it showed there."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))
    shown = b""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)
        # Once nobody writes any more, reading a terminal fails.
        with suppress(OSError):
            while part := os.read(ours, 4096):
                shown += part
    os.close(ours)
    return process.returncode, shown.decode()


def partial_bytes(home: Path) -> int:
    """What there is of the weights so far."""
    return sum(path.stat().st_size for path in home.glob("hub/*/blobs/*.khulasa-partial"))


def test_a_download_that_is_killed_goes_on_where_it_was(
    fake: FakeHub, build: list[str], arguments: list[str], tmp_path: Path
) -> None:
    """SIGKILL in the middle of the weights: no bundle; then only the missing bytes are sent."""
    tensors = safetensors.numpy.load(fake.files[WEIGHTS])
    fake.files[WEIGHTS] = safetensors.numpy.save(
        {**tensors, "unused": np.zeros(6 * MIB, np.float32)}
    )
    whole = len(fake.files[WEIGHTS])
    fake.stall[WEIGHTS] = 13 * MIB
    with subprocess.Popen([*build, BUILD, *arguments], stderr=subprocess.DEVNULL) as process:
        assert fake.stalled.wait(PATIENCE)
        until = time.monotonic() + PATIENCE
        while not partial_bytes(tmp_path / "home") and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    have = partial_bytes(tmp_path / "home")
    assert 0 < have < whole
    assert not (tmp_path / "models" / "tiny").exists()
    fake.stall.clear()
    fake.sent.clear()
    fake.requests.clear()
    status, shown = run_on_terminal([*build, BUILD, *arguments])
    assert status == 0, shown
    assert fake.sent[WEIGHTS] == whole - have
    assert set(fake.downloads()) == {WEIGHTS}
    assert store.load(tmp_path / "models" / "tiny").manifest.source.revision == COMMIT
    # A bar shows how far it is, from where it goes on.
    assert f"{WEIGHTS}, {whole:,} bytes" in shown
    bars = re.findall(rf"{WEIGHTS}:\s+(\d+)%", shown)
    assert int(bars[0]) >= 100 * have // whole
    assert bars[-1] == "100"


def test_a_conversion_that_is_killed_leaves_nothing_in_the_way(
    fake: FakeHub, build: list[str], arguments: list[str], tmp_path: Path
) -> None:
    """SIGKILL with the weights converted: no bundle; then one, without any download."""
    killed = run([*build, DIE_CONVERTED, *arguments])
    assert killed.returncode == -signal.SIGKILL
    models = tmp_path / "models"
    (half,) = models.iterdir()
    assert half.name.startswith(".tiny.partial-")
    assert (half / "model" / "model.bin").is_file()
    assert not list(models.glob("*/manifest.json"))
    fake.requests.clear()
    done = run([*build, BUILD, *arguments])
    assert done.returncode == 0, done.stderr
    assert fake.downloads() == []
    assert [path.name for path in models.iterdir()] == ["tiny"]
    store.verify_files(store.load(models / "tiny"))
