"""`khulasa-server tokens …` as a user types it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from typer.testing import CliRunner

from khulasa_server.cli.tokens import app
from khulasa_server.rpc.tokens import Rate, TokenBook

if TYPE_CHECKING:
    from pathlib import Path

TOKEN: Final = "0123456789abcdef" * 2
LIMITS: Final = ("--concurrency", "3", "--rate", "10/minute")


@pytest.fixture
def run() -> CliRunner:
    """Runs a command in this process."""
    return CliRunner()


def test_a_new_token_is_accepted_by_its_line(run: CliRunner, tmp_path: Path) -> None:
    """Standard output is a line for the file, standard error the token that it lets in."""
    done = run.invoke(app, ["new", "alice", *LIMITS])
    assert done.exit_code == 0
    token = done.stderr.strip()
    assert token not in done.stdout
    file = tmp_path / "tokens"
    file.write_text(done.stdout)
    found = TokenBook(file).find(token)
    assert found is not None
    assert (found.name, found.concurrency, found.rate) == ("alice", 3, Rate(10, "minute"))


def test_a_token_of_ones_own_is_hashed(run: CliRunner, tmp_path: Path) -> None:
    """The token comes from standard input and is not repeated."""
    done = run.invoke(app, ["hash", "bob"], input=f"{TOKEN}\n")
    assert done.exit_code == 0
    assert TOKEN not in done.output
    file = tmp_path / "tokens"
    file.write_text(done.stdout)
    assert TokenBook(file).find(TOKEN) is not None


@pytest.mark.parametrize(
    ("arguments", "text", "complaint"),
    [
        (["hash", "bob"], "weak", "32 random characters"),
        (["hash", "bob"], "", "visible ASCII"),
        (["hash", "b b"], TOKEN, "a name has"),
        (["new", "bob", "--rate", "often"], "", "rate is"),
        (["new", "bob", "--concurrency", "0"], "", "concurrency is"),
    ],
)
def test_a_mistake_is_one_sentence(
    run: CliRunner, arguments: list[str], text: str, complaint: str
) -> None:
    """What the file would not accept is not printed, and the exit status says so."""
    done = run.invoke(app, arguments, input=text)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert complaint in done.stderr
    assert "weak" not in done.stderr


def test_a_file_is_checked_before_it_is_used(run: CliRunner, tmp_path: Path) -> None:
    """A file that a server would refuse is named with the line at fault."""
    file = tmp_path / "tokens"
    file.write_text(run.invoke(app, ["new", "alice"]).stdout)
    assert run.invoke(app, ["check", str(file)]).exit_code == 0
    file.write_text(f"alice {TOKEN}")
    done = run.invoke(app, ["check", str(file)])
    assert done.exit_code == 1
    assert done.stderr.startswith(f"{file}: line 1: ")
    assert TOKEN not in done.stderr
