"""The `khulasa-server` command."""

from __future__ import annotations

import typer

from khulasa_server import __version__
from khulasa_server.cli import models, serve, tokens

app = typer.Typer(
    name="khulasa-server",
    help="Summarizes Arabic text and translates it to English, over gRPC.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command(
    name="serve",
    # Flags are those of the settings, which parse and describe themselves.
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    add_help_option=False,
)(serve.command)
app.add_typer(models.app, name="models", help="Build, inspect, verify and evaluate bundles.")
app.add_typer(tokens.app, name="tokens")


@app.command(name="version")
def show_version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Run the command line."""
    app()
