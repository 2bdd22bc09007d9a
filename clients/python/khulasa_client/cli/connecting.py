"""What every command has: how to reach the server, and how to say what went wrong."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from khulasa_client import Client, KhulasaError, Tls

if TYPE_CHECKING:
    from collections.abc import Callable

    Function = Callable[..., None]

FILE = click.Path(dir_okay=False, path_type=Path)
OPTIONS = (
    click.option(
        "--address",
        envvar="KHULASA_ADDRESS",
        default="localhost:50051",
        show_default=True,
        show_envvar=True,
        help="host:port, or dns:///host:port to spread calls over all addresses of a name.",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        help="Seconds for the answer, in bulk for each item. Default: 60; for summaries 180.",
    ),
    click.option("--tls", is_flag=True, help="Use TLS, trusting well-known authorities."),
    click.option("--tls-ca", type=FILE, help="Use TLS, trusting the authorities in this PEM file."),
    click.option("--tls-cert", type=FILE, help="Client certificate for mutual TLS, PEM."),
    click.option("--tls-key", type=FILE, help="Its private key, PEM."),
    click.option("--token-file", type=FILE, help="File with a bearer token to send."),
    click.option("--insecure-token", is_flag=True, help="Send the token without TLS too."),
)


class Failure(click.ClickException):
    """One sentence on stderr, exit status 1."""

    def show(self, file: Any = None) -> None:  # noqa: ANN401 - click's signature
        """Print the sentence."""
        click.echo(f"khulasa: {self.format_message()}", file=file, err=True)


def sentence(error: KhulasaError, address: str = "") -> str:
    """What went wrong, in one line."""
    text = " ".join(str(error).split())
    if address and error.code == "UNAVAILABLE" and not error.reason:
        text = f"cannot reach {address}: {text}"
    return f"{text} (request {error.request_id})" if error.request_id else text


def connected(function: Function) -> Function:
    """Give a command the options above, and a client instead of them."""

    @functools.wraps(function)
    def command(
        *,
        address: str,
        tls: bool,
        tls_ca: Path | None,
        tls_cert: Path | None,
        tls_key: Path | None,
        token_file: Path | None,
        insecure_token: bool,
        **arguments: Any,  # noqa: ANN401 - each command has its own
    ) -> None:
        try:
            secured = tls or tls_ca is not None or tls_cert is not None or tls_key is not None
            settings = Tls(ca=tls_ca, certificate=tls_cert, key=tls_key) if secured else None
            with Client(
                address, tls=settings, token_file=token_file, insecure_token=insecure_token
            ) as client:
                function(client, **arguments)
        except KhulasaError as error:
            raise Failure(sentence(error, address)) from error

    return functools.reduce(lambda made, option: option(made), reversed(OPTIONS), command)
