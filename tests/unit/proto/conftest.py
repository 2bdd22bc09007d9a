"""The contract's tool, run on copies of the contract."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROTO = Path(__file__).parents[3] / "proto"

RunContract = Callable[..., subprocess.CompletedProcess[str]]
"""Runs commands of proto/contract.py on a directory."""


@pytest.fixture(scope="session")
def proto() -> Path:
    """The committed contract."""
    return PROTO


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the contract that a test may spoil."""
    target = tmp_path / "proto"
    shutil.copytree(PROTO / "khulasa", target / "khulasa")
    shutil.copy(PROTO / "buf.yaml", target)
    shutil.copy(PROTO / "released.binpb", target)
    return target


@pytest.fixture
def run_contract() -> RunContract:
    """Runs commands of the tool on a directory, and returns what came of it."""

    def run(source: Path, *commands: str) -> subprocess.CompletedProcess[str]:
        script = [sys.executable, str(PROTO / "contract.py"), *commands, "--source", str(source)]
        return subprocess.run(script, check=False, capture_output=True, text=True)

    return run
