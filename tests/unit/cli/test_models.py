"""`khulasa-server models …` as a user types it."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from khulasa_server.bundles import store
from khulasa_server.bundles.building import shapes, synthesize
from khulasa_server.cli.models import app

if TYPE_CHECKING:
    from pathlib import Path

TRANSLATOR = "demo-marian-ar-en"
SUMMARIZER = "demo-mt5-ar-summary"


@pytest.fixture
def run() -> CliRunner:
    """Runs a command in this process."""
    return CliRunner()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny mT5 checkpoint."""
    directory = tmp_path_factory.mktemp("checkpoint")
    shape = shapes.mt5_shape(
        depth=16, head=8, layers=1, heads=2, inner=32, pieces_known=600, rows=612
    )
    synthesize.write(directory, shape, seed=1, name="tiny")
    return directory


def test_list_shows_what_is_embedded(run: CliRunner) -> None:
    """Without arguments: the embedded models, their task, languages, licence and purpose."""
    shown = run.invoke(app, ["list"])
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert f"{TRANSLATOR}  translate ar→en  int8  CC-BY-SA-4.0 demonstration" in lines[0]
    assert f"{SUMMARIZER}  summarize ar  int8" in lines[1]


def sizes(told: dict[str, str]) -> dict[str, list[int]]:
    """Numbers that a build reports: now, then, where pieces were left out, with every piece."""
    rows = {name: told[name] for name in ("parameters", "disk", "resident")}
    return {
        name: [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", row)]
        for name, row in rows.items()
    }


def whole_sizes(run: CliRunner, checkpoint: Path, directory: Path) -> dict[str, list[int]]:
    """What a build of the same checkpoint reports when nothing is left out."""
    output = directory / "whole"
    built = run.invoke(app, ["build", str(checkpoint), "--output", str(output), "--name", "mine"])
    assert "every piece" not in built.stdout
    return sizes(dict(line.split(maxsplit=1) for line in built.stdout.splitlines()))


def test_build_list_inspect_verify(run: CliRunner, checkpoint: Path, tmp_path: Path) -> None:
    """What is built is listed, described and verified; sizes are told with and without trimming."""
    output = tmp_path / "models" / "mine"
    flags = ["--keep-languages", "ar", "--max-pieces", "420", "--name", "mine"]
    built = run.invoke(app, ["build", str(checkpoint), "--output", str(output), *flags])
    assert built.exit_code == 0, built.output
    assert "420 of 612" in built.stdout
    told = dict(line.split(maxsplit=1) for line in built.stdout.splitlines())
    before, now = whole_sizes(run, checkpoint, tmp_path), sizes(told)
    for name in ("parameters", "disk"):
        assert now[name][1] == before[name][0] > now[name][0]
    # Memory is measured, twice: a tiny model's is that of the libraries.
    assert now["resident"][1] == pytest.approx(before["resident"][0], rel=0.1)
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["mine"]
    listed = run.invoke(app, ["list", str(tmp_path / "models")])
    assert listed.stdout.splitlines()[-1].startswith("mine  summarize ar  int8  CC0-1.0")
    shown = run.invoke(app, ["inspect", str(output), "--json"])
    assert json.loads(shown.stdout) == json.loads((output / "manifest.json").read_bytes())
    verified = run.invoke(app, ["verify", str(output), "--canary", "strict"])
    assert verified.exit_code == 0, verified.output
    assert "15 of 15 golden texts equal" in verified.stdout


def test_inspect_tells_what_users_ask_first(run: CliRunner) -> None:
    """Task, terms, limits, memory and how to get the real model."""
    shown = run.invoke(app, ["inspect", TRANSLATOR, "--memory"])
    assert shown.exit_code == 0
    for expected in ("CC-BY-SA-4.0", "512 pieces", "models build opus-mt-ar-en", "resident"):
        assert expected in shown.stdout


def test_verify_refuses_what_was_changed_and_goes_on(run: CliRunner, tmp_path: Path) -> None:
    """A damaged bundle fails the command by name; the others are verified all the same."""
    damaged = shutil.copytree(store.resolve(TRANSLATOR), tmp_path / "damaged")
    (damaged / "NOTICE").write_text("all mine", "utf-8")
    verified = run.invoke(app, ["verify", str(damaged), SUMMARIZER])
    assert verified.exit_code == 1
    assert "NOTICE" in verified.stderr
    assert f"{SUMMARIZER}: as it was built" in verified.stdout


def test_evaluate_prints_signed_figures(run: CliRunner, tmp_path: Path) -> None:
    """BLEU and chrF with signatures, and a report that a second run goes on from."""
    data, report = tmp_path / "data.tsv", tmp_path / "report.jsonl"
    data.write_text("كيف حالك؟\tHow are you?\nأين المحطة؟\tWhere is the station?\n", "utf-8")
    command = ["evaluate", TRANSLATOR, "--data", str(data), "--report", str(report)]
    first = run.invoke(app, [*command, "--json"])
    assert first.exit_code == 0, first.output
    figures = json.loads(first.stdout)
    assert figures["BLEU"][0] > 0
    assert "version:" in figures["BLEU"][1]
    written = report.read_bytes()
    second = run.invoke(app, command)
    assert second.exit_code == 0
    assert report.read_bytes() == written
    assert "chrF" in second.stdout


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (["inspect", "missing"], "neither a directory nor an embedded bundle"),
        (["build", "/nowhere", "--output", "OUT"], "no checkpoint"),
        (["evaluate", TRANSLATOR, "--data", "/nowhere.tsv"], "nowhere"),
        (["synthesize", "huge", "--output", "OUT"], "is no shape"),
        (["list", "/nowhere"], "is not a bundle"),
    ],
)
def test_faults_are_one_sentence(
    run: CliRunner, tmp_path: Path, command: list[str], complaint: str
) -> None:
    """No traceback: what is wrong, and exit code 1."""
    filled = [part.replace("OUT", str(tmp_path / "out")) for part in command]
    done = run.invoke(app, filled)
    assert done.exit_code == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert complaint in errors[0]
    assert not (tmp_path / "out").exists()


def test_an_unknown_canary_mode_is_a_usage_error(run: CliRunner) -> None:
    """Two modes exist."""
    assert run.invoke(app, ["verify", TRANSLATOR, "--canary", "lax"]).exit_code == 2
