"""What is counted in a report of `models evaluate`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from typer import Typer
from typer.testing import CliRunner

from training import report

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = "وصل رئيس الوزراء إلى بغداد اليوم."


def test_loops_and_grounded_outputs_are_counted(tmp_path: Path) -> None:
    """The head of a report is no answer; one loop, and one output of the source's words alone."""
    outputs = ["وصل رئيس الوزراء.", "the the the the the the"]
    lines = [{"bundle": "x"}, *({"source": SOURCE, "output": output} for output in outputs)]
    file = tmp_path / "report.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    app = Typer()
    app.command()(report.main)
    shown = CliRunner().invoke(app, [str(file)])
    assert shown.exit_code == 0
    assert [line.split() for line in shown.output.splitlines()] == [
        ["loops", "1", "of", "2", "50.0", "%"],
        ["every", "word", "in", "its", "source", "1", "of", "2", "50.0", "%"],
    ]
