"""`khulasa-server serve`: settings from flags and environment, then the server."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, NoReturn

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError

from khulasa_server.bundles.errors import BundleError
from khulasa_server.config import Settings, parse, unknown_variables
from khulasa_server.errors import ServiceError
from khulasa_server.observability import logs
from khulasa_server.server import Server

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logs.logger(__name__)

USAGE_ERROR = 2
START_ERROR = 1
STUCK_ERROR = 3
"""An engine hung until the end; everything else was done in order."""


def command(context: typer.Context) -> None:
    """Serve until SIGTERM or SIGINT; `serve --help` lists every setting."""
    settings = _settings(context.args)
    logs.configure(settings.log_level, own_errors=(ServiceError, BundleError))
    for variable, meant in unknown_variables(os.environ).items():
        log.warning("unknown_setting", variable=variable, meant=meant or None)
    try:
        asyncio.run(_serve(settings))
    except OSError as error:
        _fail(error.strerror or str(error), START_ERROR)
    except ValueError as error:
        _fail(str(error), START_ERROR)


async def _serve(settings: Settings) -> None:
    try:
        server = Server(settings)
    except ValueError as error:
        _fail(str(error), USAGE_ERROR)
    await server.run()
    if server.stuck:
        _abandon()


def _abandon() -> NoReturn:
    """End the process beside a thread that never will; interpreters wait for their threads."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(STUCK_ERROR)


def _settings(arguments: Sequence[str]) -> Settings:
    try:
        return parse(arguments)
    except ValidationError as error:
        _fail("\n".join(map(_sentence, error.errors())), USAGE_ERROR)
    except SettingsError as error:
        _fail(str(error), USAGE_ERROR)


def _sentence(fault: object) -> str:
    if not isinstance(fault, dict):
        return str(fault)
    name = ".".join(str(part) for part in fault["loc"])
    return f"KHULASA_{name.upper()} (--{name.replace('_', '-')}): {fault['msg']}"


def _fail(message: str, status: int) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(status)
