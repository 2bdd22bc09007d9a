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
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from khulasa_client import Client, KhulasaError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from khulasa_client import Finding

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
    command = [sys.executable, "-m", "khulasa_server", "serve", "--log-level", "error"]
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
            print(isolated(line) if right_to_left and line else line)


def isolated(line: str) -> str:
    """A line that terminals with bidirectional text show from right to left, at the right."""
    return " " * (WIDTH - len(line)) + RIGHT_TO_LEFT + line + POP


def show_metrics(address: str) -> None:
    """Print a few lines of `/metrics`."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()
    shown = [line for line in lines if line.startswith(SHOWN_METRICS)]
    if not shown:
        raise DemoError("/metrics holds none of the expected series")
    show("a few lines of /metrics", "")
    print("\n".join(line for line in shown if not line.endswith(" 0.0")))


def paragraphs(text: str) -> int:
    """Blocks of text between blank lines."""
    return sum(1 for block in text.split("\n\n") if block.strip())


def findings_line(findings: Sequence[Finding]) -> str:
    """How many findings of which kinds, in one line."""
    counts = Counter(str(finding.kind) for finding in findings)
    told = ", ".join(f"{kind} × {count}" for kind, count in sorted(counts.items()))
    return f"findings: {told or 'none'}"


def summarize(client: Client, article: str) -> None:
    """Summarize the article, with the summary's translation."""
    started = time.perf_counter()
    summary = client.summarize(article, to="en")
    seconds = time.perf_counter() - started
    if not summary.text.strip() or summary.translation is None:
        raise DemoError("the summary or its translation is empty")
    show(f"summary by {summary.model.name}, {seconds:.2f} s", summary.text, right_to_left=True)
    print(f"read {summary.coverage:.0%} of the article ({summary.strategy}); ", end="")
    print(findings_line(summary.findings))
    show(f"its translation by {summary.translation.model.name}", summary.translation.text)
    print(findings_line(summary.translation.findings))


def translate(client: Client, article: str) -> None:
    """Translate the article; it must keep its paragraphs."""
    started = time.perf_counter()
    translation = client.translate(article)
    seconds = time.perf_counter() - started
    if paragraphs(translation.text) != paragraphs(article):
        raise DemoError(f"{paragraphs(article)} paragraphs became {paragraphs(translation.text)}")
    title = f"the article by {translation.model.name}, {seconds:.2f} s"
    show(f"{title}, {paragraphs(translation.text)} paragraphs", translation.text)
    print(f"{len(translation.segments)} segments; {findings_line(translation.findings)}")


def note_demonstration(client: Client) -> None:
    """Say which models only demonstrate, and how to build the real ones."""
    for model in client.list_models():
        if model.demonstration:
            print(f"{model.name} is a demonstration model, not fit for use; build the real one:")
            print(f"  {model.production_build}")


def run() -> None:
    """Every step of the demonstration."""
    article = ARTICLE.read_text("utf-8")
    started = time.perf_counter()
    with running_server() as serving:
        print(f"server ready on {serving['grpc']} after {time.perf_counter() - started:.2f} s")
        with Client(serving["grpc"]) as client:
            note_demonstration(client)
            show(
                f"the article, {paragraphs(article)} paragraphs; its first",
                article.split("\n")[0],
                right_to_left=True,
            )
            summarize(client, article)
            translate(client, article)
        show_metrics(serving["metrics"])
    print("\nserver stopped cleanly")


def main() -> int:
    """Run it; 0 only if every step succeeded."""
    try:
        run()
    except (DemoError, KhulasaError, OSError, subprocess.TimeoutExpired) as error:
        print(f"the demonstration failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
