"""The tool that brings Prometheus says one sentence when it cannot."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "tools" / "install_prometheus.py"


@pytest.mark.parametrize(
    ("programs", "reason"),
    [
        ({}, "this machine has no apt-get to download them with"),
        (
            {"apt-get": "exit 100", "dpkg-deb": "exit 0"},
            "apt-get cannot download Debian's package `prometheus`",
        ),
        (
            {"apt-get": 'touch "$PWD/prometheus_1_amd64.deb"', "dpkg-deb": "exit 2"},
            "prometheus_1_amd64.deb cannot be unpacked",
        ),
    ],
)
def test_a_missing_tool_is_one_sentence(
    tmp_path: Path, programs: dict[str, str], reason: str
) -> None:
    """Whatever is missing, the exit status is not 0, the reason is one line, and nothing stays."""
    script = tmp_path / "tests" / "tools" / SCRIPT.name
    script.parent.mkdir(parents=True)
    shutil.copy(SCRIPT, script)
    path = tmp_path / "bin"
    path.mkdir()
    for name, body in programs.items():
        (path / name).write_text(
            f"#!/bin/sh\n{body}\n".replace("touch", shutil.which("touch") or "")
        )
        (path / name).chmod(0o755)
    done = subprocess.run(
        [sys.executable, script],
        env={"PATH": str(path)},
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"the tests need Prometheus: put `prometheus` and `promtool` on PATH ({reason})"
    ]
    assert list(tmp_path.glob("build/tools/*")) == []
