"""The client works with the oldest runtimes that it allows, not only with today's."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
TOOLS = ("pytest", "pytest-asyncio", "pytest-timeout", "hypothesis", "trustme")


@pytest.mark.timeout(400)
def test_client_on_the_oldest_runtimes() -> None:
    """Every test of the client passes with the oldest gRPC and protobuf, warnings being errors."""
    client = REPOSITORY / "clients" / "python"
    tools = [f"{tool}=={version(tool)}" for tool in TOOLS]
    script = [sys.executable, str(REPOSITORY / "proto" / "environments.py"), "client-oldest"]
    made = subprocess.run(
        [*script, str(client / "oldest.txt"), *tools], check=True, stdout=subprocess.PIPE, text=True
    )
    command = [made.stdout.strip(), "-W", "error", "-m", "pytest", "-p", "no:cacheprovider", "-q"]
    done = subprocess.run(
        [*command, "tests/unit/client"],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": f"{REPOSITORY / 'proto'}{os.pathsep}{client}"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-10_000:]
    assert " passed" in done.stdout
