"""What the commands about models have in common: steps, faults, and the engine that serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import typer

from khulasa_server.bundles.errors import BuildError, BundleError, EvaluationError
from khulasa_server.engines.base import EngineError
from khulasa_server.engines.loading import load
from khulasa_server.engines.threads import usable_cores

if TYPE_CHECKING:
    from pathlib import Path

    from khulasa_server.bundles.manifest import Manifest
    from khulasa_server.engines.base import Engine

FAULTS = (BundleError, BuildError, EvaluationError, EngineError, OSError)
"""What a user can cause; told in one sentence."""


def fail(error: BaseException) -> NoReturn:
    """Say what is wrong, and end with status 1."""
    typer.echo(f"error: {error}", err=True)
    raise typer.Exit(1) from error


def say(step: str) -> None:
    """Tell a step as it begins, where no result is."""
    typer.echo(f"{step} …", err=True)


def open_engine(directory: Path, manifest: Manifest) -> Engine:
    """The serving engine, one worker on every usable core."""
    return load("ctranslate2", directory, manifest, workers=1, threads=usable_cores())
