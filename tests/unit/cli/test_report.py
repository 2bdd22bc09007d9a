"""`khulasa-server models report` as a user types it; the page itself is looked at in `e2e`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from khulasa_server.cli.models import app
from khulasa_server.observability import logs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _logs_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command quietens the process's logs; this process runs other tests afterwards."""
    monkeypatch.setattr(logs, "configure", lambda *_arguments, **_options: None)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A file with a text."""
    path = tmp_path / "text.txt"
    path.write_text("كيف حالك؟", "utf-8")
    return path


def test_one_task_of_one_model(text: Path) -> None:
    """A model that is named does what it can do, in HTML, and nothing else is loaded."""
    output = text.with_suffix(".html")
    flags = ["--model", "demo-marian-ar-en", "--output", str(output)]
    done = CliRunner().invoke(app, ["report", str(text), *flags])
    assert done.exit_code == 0, done.output
    html = output.read_text("utf-8")
    assert "<!DOCTYPE html>" in html
    assert "كيف حالك؟" in html
    assert "Translation" in html
    assert "demo-mt5-ar-summary" not in html


def test_a_task_that_no_model_does_is_told_on_the_page(text: Path) -> None:
    """A text that cannot be answered is in the report with the reason."""
    output = text.with_suffix(".html")
    flags = ["--model", "demo-marian-ar-en", "--task", "summarize", "--output", str(output)]
    done = CliRunner().invoke(app, ["report", str(text), *flags])
    assert done.exit_code == 0, done.output
    assert "MODEL_NOT_FOUND" in output.read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.txt"], "missing.txt: No such file or directory"),
        (["{text}", "--model", "nothing"], "'nothing' is neither a directory nor an embedded"),
        (["{text}", "--output", "/nowhere/page.html"], "No such file or directory"),
    ],
)
def test_what_is_wrong_is_one_sentence(text: Path, arguments: list[str], message: str) -> None:
    """Status 1 and a sentence, without a trace and without a page."""
    output = text.with_suffix(".html")
    filled = [part.format(text=text) for part in arguments]
    done = CliRunner().invoke(app, ["report", "--output", str(output), *filled])
    assert done.exit_code == 1
    assert message in done.stderr
    assert done.stderr.count("error: ") == 1
    assert not output.exists()


def test_the_library_is_asked_for_before_any_work(
    text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extra `report` nothing is loaded, and the sentence says what to install."""
    monkeypatch.setitem(sys.modules, "jinja2", None)
    done = CliRunner().invoke(app, ["report", str(text), "--output", str(text) + ".html"])
    assert done.exit_code == 1
    assert "pip install 'khulasa-server[report]'" in done.stderr
