"""Packages that building and evaluating need and serving does not."""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import TYPE_CHECKING

from khulasa_server.bundles.errors import ToolMissingError

if TYPE_CHECKING:
    from types import ModuleType


def require(name: str, *, extra: str = "convert") -> ModuleType:
    """Import a package that only building and evaluating need.

    Args:
        name: of the module.
        extra: of this distribution that brings it.

    Raises:
        ToolMissingError: it is not installed; the message says what to install.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ToolMissingError(
            f"{package} is needed here and not installed: pip install 'khulasa-server[{extra}]'"
        ) from error


def versions(*names: str) -> dict[str, str]:
    """Versions of those of these distributions that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
