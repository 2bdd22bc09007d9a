"""The commands of NOTES.txt are about what was installed, and the client knows their flags."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from khulasa_client.cli.commands import khulasa

if TYPE_CHECKING:
    from collections.abc import Callable

CHART = Path(__file__).parents[2] / "helm" / "khulasa"
MATRIX = [
    path
    for path in sorted((Path(__file__).parent / "matrix").glob("*.yaml"))
    # These need an API that a dry run does not have.
    if "keda" not in path.stem
]
NAMED = re.compile(r"\b(deployment|service|job)/([a-z0-9-]+)|get (secret|service) ([a-z0-9-]+)")
KINDS = {"deployment": "Deployment", "service": "Service", "job": "Job"}

each_way = pytest.mark.parametrize("values", MATRIX, ids=lambda path: path.stem)


def notes(helm: Any, values: Path) -> str:  # noqa: ANN401 - the class is conftest's
    """What helm says after installing."""
    arguments = ["--namespace", "news", "--dry-run=client", "--values", str(values)]
    said: str = helm.run("install", "news", str(CHART), *arguments)
    return said.partition("\nNOTES:\n")[2]


def commands(text: str) -> list[str]:
    """The indented lines."""
    return [line.strip() for line in text.splitlines() if line.startswith("  ")]


@each_way
def test_commands_name_what_there_is(
    values: Path,
    helm: Any,  # noqa: ANN401 - the class is conftest's
    render: Callable[..., Any],
) -> None:
    """Every object in a command is one of the release, or a Secret that its values name."""
    release, text = render(values), notes(helm, values)
    assert "kubectl --namespace news rollout status" in text
    for kind, name, got, its_name in NAMED.findall(text):
        if got == "secret":
            assert its_name in values.read_text("utf-8")
        else:
            names = {each["metadata"]["name"] for each in release.all(KINDS[kind or got])}
            assert (name or its_name) in names


@each_way
def test_the_client_knows_the_flags(values: Path, helm: Any, tmp_path: Path) -> None:  # noqa: ANN401 - the same
    """The client accepts the command that is given, flag by flag."""
    (line,) = (each for each in commands(notes(helm, values)) if "| khulasa" in each)
    arguments = shlex.split(line.partition("| khulasa ")[2])
    for file in ("ca.crt", "client.crt", "client.key", "token"):
        (tmp_path / file).write_text("x")
        arguments = [str(tmp_path / file) if each == file else each for each in arguments]
    # Help is shown after what stands before it was parsed.
    done = CliRunner().invoke(khulasa, [*arguments, "--help"])
    assert done.exit_code == 0, done.output


@each_way
def test_nothing_is_left_to_fill_in(values: Path, helm: Any) -> None:  # noqa: ANN401 - the same
    """No empty value and no template is left in the text."""
    text = notes(helm, values)
    assert "<no value>" not in text
    assert "{{" not in text
    assert "--namespace  " not in text
