"""`make demo`, as a person runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import regex

DEMO = Path(__file__).with_name("demo.py")
ARTICLE = Path(__file__).parents[1] / "data" / "article_ar.txt"


def run_demo(**environment: str) -> subprocess.CompletedProcess[str]:
    """The demonstration in a process of its own."""
    return subprocess.run(
        [sys.executable, DEMO],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=100,
        env={**os.environ, **environment},
        check=False,
    )


def section(output: str, title: str) -> str:
    """The text under the first title that holds `title`."""
    _, _, rest = output.partition(title)
    assert rest, f"no section {title!r}"
    return rest.partition("\n")[2].partition("\n── ")[0].strip()


def test_demo_shows_summary_translation_and_metrics() -> None:
    """The embedded models summarize and translate the article, and the server stops cleanly."""
    done = run_demo()
    assert done.returncode == 0, done.stderr
    assert regex.search(r"\p{Script=Arabic}{3}", section(done.stdout, "summary by demo-mt5"))
    assert regex.search(r"\p{Script=Latin}{3}", section(done.stdout, "its translation by demo-m"))
    paragraphs = len(ARTICLE.read_text("utf-8").strip().split("\n\n"))
    assert f", {paragraphs} paragraphs" in done.stdout.partition("the article by demo-marian")[2]
    assert 'grpc_code="OK",grpc_method="Summarize"' in section(done.stdout, "/metrics")
    assert done.stdout.endswith("server stopped cleanly\n")


def test_demo_fails_loudly_where_a_step_fails() -> None:
    """A server that cannot start ends the demonstration with a sentence and a non-zero status."""
    done = run_demo(KHULASA_MODELS="/nonexistent")
    assert done.returncode == 1
    assert "the demonstration failed: the server ended with status 2" in done.stderr
    assert "'/nonexistent' is neither a directory nor an embedded bundle" in done.stderr
