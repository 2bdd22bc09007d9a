"""NOTES.txt as an operator reads it, and follows it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from tests.chart.releases import APIS, CHART, NEWEST, Helm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.chart.releases import Object

SHOWN = """apiVersion: v1
kind: ConfigMap
metadata: {name: notes}
data: {notes: {{ tpl (.Files.Get "files/NOTES.txt") . | toJson }}}
"""
"""A template that shows NOTES.txt, for helm shows it only while it talks to a cluster."""


def notes(helm: Helm, values: Object, scratch: Path) -> str:
    """What helm says after installing release `news` in namespace `news`.

    Args:
        helm: renders it.
        values: of the release.
        scratch: a directory of the test's own, where a copy of the chart is made.
    """
    copy = scratch / "chart"
    shutil.copytree(CHART, copy)
    shutil.copy(copy / "templates" / "NOTES.txt", copy / "files" / "NOTES.txt")
    (copy / "templates" / "notes.yaml").write_text(SHOWN, "utf-8")
    having = [word for api in APIS for word in ("--api-versions", api)]
    shown = helm.run(
        "template", "news", str(copy), "--namespace", "news", "--kube-version", NEWEST, *having,
        "--values", "-", "--show-only", "templates/notes.yaml", text=yaml.safe_dump(values),
    )  # fmt: skip
    found: str = yaml.safe_load(shown)["data"]["notes"]
    return found


def commands(text: str) -> list[str]:
    """The indented lines, but for the address, which is no command."""
    indented = [line.strip() for line in text.splitlines() if line.startswith("  ")]
    return [line for line in indented if not line.startswith("dns:///")]


@dataclass(frozen=True, slots=True)
class Terminal:
    """An operator's terminal.

    Args:
        home: home and working directory.
        tools: directory with helm and kubectl.
        server: address of the cluster.
    """

    home: Path
    tools: Path
    server: str

    def run(self, command: str, more: Mapping[str, str] | None = None) -> str:
        """What a command says; it must succeed."""
        user = {"name": "x", "user": {}}
        context = {"name": "x", "context": {"cluster": "x", "user": "x"}}
        cluster = {"name": "x", "cluster": {"server": self.server}}
        config = {"apiVersion": "v1", "kind": "Config", "current-context": "x", "users": [user],
                  "contexts": [context], "clusters": [cluster]}  # fmt: skip
        (self.home / "kubeconfig").write_text(yaml.safe_dump(config), "utf-8")
        path = f"{self.tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {"PATH": path, "HOME": str(self.home), "LANG": "C.UTF-8", **(more or {})}
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=self.home, check=False, capture_output=True, text=True, timeout=100,
            env=environment | {"KUBECONFIG": str(self.home / "kubeconfig")},
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def parsed(command: str) -> str:
    """A command that only parses what a command is given: help is shown after that."""
    return f"{command.removesuffix(' &')} --help"
