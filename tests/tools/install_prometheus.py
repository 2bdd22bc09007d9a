"""Unpacks Debian's Prometheus into build/tools, without root; says one sentence if it cannot.

Uses the machine's own package lists and sources. Where the lists were never fetched, it fetches
them into a directory of its own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGE = "prometheus"
BINARIES = ("prometheus", "promtool")
TOOLS = Path(__file__).parents[2] / "build" / "tools"
ADVICE = f"the tests need Prometheus: put `{BINARIES[0]}` and `{BINARIES[1]}` on PATH"


class InstallError(Exception):
    """Why there is no Prometheus, in one sentence."""


def main() -> int:
    """Install unless it is there."""
    if all(shutil.which(name) for name in BINARIES):
        return 0
    home = TOOLS / PACKAGE
    try:
        if not home.is_dir():
            install(home)
        check(home)
    except InstallError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def install(home: Path) -> None:
    """Download and unpack; `home` appears whole or not at all.

    Raises:
        InstallError: it cannot be downloaded or unpacked.
    """
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise InstallError(f"{ADVICE} (this machine has no {tool} to download them with)")
    TOOLS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TOOLS) as directory:
        scratch = Path(directory)
        package = download(scratch)
        unpacked = scratch / "unpacked"
        if run("dpkg-deb", "--extract", str(package), str(unpacked), cwd=scratch):
            raise InstallError(f"{ADVICE} ({package.name} cannot be unpacked)")
        unpacked.rename(home)


def download(scratch: Path) -> Path:
    """The package's file, with the machine's lists if it has them, else with fresh ones.

    Raises:
        InstallError: neither way works.
    """
    own = [f"-oDir::State::Lists={scratch / 'lists'}", f"-oDir::Cache={scratch / 'cache'}"]
    for name in ("lists/partial", "cache/archives/partial"):
        (scratch / name).mkdir(parents=True)
    if apt(scratch, "download", PACKAGE):
        # One source of several that cannot be reached is no reason to give up: ask for the package.
        apt(scratch, *own, "update")
        apt(scratch, *own, "download", PACKAGE)
    found = sorted(scratch.glob(f"{PACKAGE}_*.deb"))
    if not found:
        raise InstallError(f"{ADVICE} (apt-get cannot download Debian's package `{PACKAGE}`)")
    return found[0]


def apt(scratch: Path, *arguments: str) -> int:
    """Exit status of apt-get, which needs no other user here than the one who runs it."""
    options = ("-oAPT::Sandbox::User=root", "-oAcquire::Retries=3", "-oAcquire::http::Timeout=30")
    return run("apt-get", "--quiet", *options, *arguments, cwd=scratch)


def run(*command: str, cwd: Path) -> int:
    """Exit status of a command, which says nothing."""
    done = subprocess.run(command, cwd=cwd, check=False, capture_output=True)
    return done.returncode


def check(home: Path) -> None:
    """Start what was unpacked once.

    Raises:
        InstallError: it does not run on this machine.
    """
    for name in BINARIES:
        binary = home / "usr" / "bin" / name
        if not binary.is_file() or run(str(binary), "--version", cwd=home):
            raise InstallError(f"{ADVICE} ({binary} does not run here; delete {home} to try again)")


if __name__ == "__main__":
    sys.exit(main())
