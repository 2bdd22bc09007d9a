"""The main job, end to end: a news article summarized and translated by a server of its own.

Starts `khulasa-server serve` with the embedded models on free ports, talks to it through the
client, shows what came back with timings and a few metrics, and stops it. Any step that fails
ends it with a sentence and a non-zero status.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from khulasa_client import Client, KhulasaError

if TYPE_CHECKING:
    from collections.abc import Iterator

ARTICLE = Path(__file__).parents[1] / "data" / "article_ar.txt"
WIDTH = 78
START_SECONDS = 60
STOP_SECONDS = 30
RIGHT_TO_LEFT, POP = "\N{RIGHT-TO-LEFT ISOLATE}", "\N{POP DIRECTIONAL ISOLATE}"
SHOWN_METRICS = (
    'grpc_server_handled_total{grpc_code="OK"',
    "khulasa_inference_seconds_count",
    "khulasa_inference_seconds_sum",
    "khulasa_tokens_total",
    "khulasa_model_info",
)


class DemoError(Exception):
    """A step failed; the message says which and how."""


@contextmanager
def running_server() -> Iterator[dict[str, Any]]:
    """A server on free ports; yields its `serving` line; it must stop cleanly afterwards."""
    command = [sys.executable, "-m", "khulasa_server", "serve", "--log-level", "warning"]
    free = {"KHULASA_LISTEN": "127.0.0.1:0", "KHULASA_METRICS_LISTEN": "127.0.0.1:0"}
    server = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        env={**os.environ, **free, "KHULASA_DRAIN_DELAY": "0"},
        text=True,
    )
    try:
        yield serving_line(server)
        server.send_signal(signal.SIGTERM)
        status = server.wait(STOP_SECONDS)
        if status != 0:
            raise DemoError(f"the server stopped with status {status}")
    finally:
        server.kill()
        server.wait()


def serving_line(server: subprocess.Popen[str]) -> dict[str, Any]:
    """The line with which the server says where it listens."""
    assert server.stdout is not None
    line = server.stdout.readline()
    if not line:
        raise DemoError(f"the server ended with status {server.wait(START_SECONDS)}")
    serving: dict[str, Any] = json.loads(line)
    return serving


def show(title: str, text: str, *, right_to_left: bool = False) -> None:
    """Print a titled text, wrapped; right-to-left lines are marked as such and set flush right."""
    print(f"\n── {title} " + "─" * max(0, WIDTH - len(title) - 4))
    for paragraph in text.split("\n"):
        for line in textwrap.wrap(paragraph, WIDTH) or [""]:
            aligned = line.rjust(WIDTH) if right_to_left else line
            print(f"{RIGHT_TO_LEFT}{aligned.strip()}{POP}".rjust(WIDTH + 2) if right_to_left else aligned)


def show_metrics(address: str) -> None:
    """Print a few lines of `/metrics`."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as response:  # noqa: S310 - our own address
        lines = response.read().decode().splitlines()
    shown = [line for line in lines if line.startswith(SHOWN_METRICS)]
    if not shown:
        raise DemoError("/metrics holds none of the expected series")
    show("a few lines of /metrics", "\n".join(line for line in shown if not line.endswith(" 0.0")))


def paragraphs(text: str) -> int:
    """Blocks of text between blank lines."""
    return sum(1 for block in text.split("\n\n") if block.strip())


def timing(seconds: float) -> str:
    """Seconds for people."""
    return f"{seconds:.2f} s"
