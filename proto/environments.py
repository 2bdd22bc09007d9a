"""Python environments of their own, made once and kept below build/.

python proto/environments.py NAME REQUIREMENTS_FILE    prints the path of its Python
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

BUILD = Path(__file__).resolve().parent.parent / "build" / "proto"


def environment(name: str, requirements: Path, *more: str, python: str = sys.executable) -> Path:
    """The Python of an environment that holds exactly `requirements`.

    Its directory is named after the requirements' content, so that a change of them makes a new
    one; a lock keeps processes that want it at the same time from making it twice.

    Args:
        name: what it is for.
        requirements: a requirements file for pip; only wheels are installed.
        more: requirements besides those in the file.
        python: the interpreter it is made from.
    """
    version = _output([python, "-c", "import sys; print(sys.version_info[:3])"])
    wanted = requirements.read_bytes() + " ".join(more).encode()
    digest = hashlib.sha256(wanted + version).hexdigest()[:12]
    root = BUILD / f"{name}-{digest}"
    root.parent.mkdir(parents=True, exist_ok=True)
    with root.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "complete").exists():
            _create(root, ["--requirement", str(requirements), *more], python)
    return root / "bin" / "python"


def _create(root: Path, requirements: list[str], python: str) -> None:
    shutil.rmtree(root, ignore_errors=True)
    _output([python, "-m", "venv", str(root)])
    pip = [str(root / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install"]
    _output([*pip, "--quiet", "--only-binary=:all:", *requirements])
    (root / "complete").touch()


def _output(command: list[str]) -> bytes:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout  # noqa: S603 - our own commands


if __name__ == "__main__":
    sys.stdout.write(f"{environment(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])}\n")
