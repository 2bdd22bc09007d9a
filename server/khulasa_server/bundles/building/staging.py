"""A directory that appears whole or not at all."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from khulasa_server.bundles.errors import OutputExistsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def staged(output: Path) -> Iterator[Path]:
    """A hidden directory beside `output` that becomes it at the end, if all went well.

    What a killed process left behind under the same name is removed first.

    Raises:
        OutputExistsError: `output` is there already.
    """
    refuse_existing(output)
    with scratch(output) as stage:
        yield stage
        refuse_existing(output)
        stage.rename(output)


@contextmanager
def scratch(output: Path) -> Iterator[Path]:
    """A hidden directory beside `output`, removed at the end if it is still there.

    What killed processes left behind under the same name is removed first.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    _sweep(output)
    stage = output.parent / f".{output.name}.partial-{os.getpid()}"
    stage.mkdir()
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def refuse_existing(output: Path) -> None:
    """Check that nothing would be overwritten.

    Raises:
        OutputExistsError: something would.
    """
    if output.exists():
        raise OutputExistsError(f"{output} exists already: remove it, or choose another --output")


def _sweep(output: Path) -> None:
    for leftover in output.parent.glob(f".{output.name}.partial-*"):
        if not _alive(leftover.name.rpartition("-")[2]):
            shutil.rmtree(leftover, ignore_errors=True)


def _alive(process: str) -> bool:
    if not process.isdigit() or int(process) == os.getpid():
        return False
    with suppress(PermissionError):
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            return False
    return True
