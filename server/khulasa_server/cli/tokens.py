"""`khulasa-server tokens …`: bearer tokens and the file of their hashes."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - typer reads annotations at run time
from typing import Annotated, NoReturn

import typer

from khulasa_server.rpc.tokens import TokenBook, hash_of, line_of, new_token

app = typer.Typer(
    no_args_is_help=True,
    help=(
        "Make bearer tokens, and check the file of their hashes. A line of it is NAME sha256:HEX, "
        "then concurrency=N and rate=N/UNIT if wanted, UNIT being second, minute, hour or day. "
        "A changed file is in force within seconds."
    ),
)

Name = Annotated[str, typer.Argument(help="Whose token it is; appears in the log.")]
Concurrency = Annotated[int | None, typer.Option(help="Most calls at once.")]
RateText = Annotated[str, typer.Option(metavar="N/UNIT", help="Most calls and bulk items.")]


@app.command("new")
def new_command(name: Name, concurrency: Concurrency = None, rate: RateText = "") -> None:
    """Make a token: the line for the file on standard output, the token on standard error."""
    token = new_token()
    typer.echo(_line(name, token, concurrency, rate))
    typer.echo(token, err=True)


@app.command("hash")
def hash_command(name: Name, concurrency: Concurrency = None, rate: RateText = "") -> None:
    """Print the line for the token on standard input; arguments could be seen by others."""
    typer.echo(_line(name, sys.stdin.readline().strip(), concurrency, rate))


@app.command("check")
def check_command(file: Annotated[Path, typer.Argument(help="File of hashes.")]) -> None:
    """Say whether a server would accept the file."""
    try:
        TokenBook(file)
    except ValueError as error:
        _fail(error)
    typer.echo(f"{file}: as it should be")


def _line(name: str, token: str, concurrency: int | None, rate: str) -> str:
    try:
        return line_of(name, hash_of(token), concurrency, rate)
    except ValueError as error:
        _fail(error)


def _fail(error: ValueError) -> NoReturn:
    typer.echo(str(error), err=True)
    raise typer.Exit(1)
