"""What a build begins with: a base like the image that is named, and a way to the package index."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING

from tests.image.chroot import Image, Mount
from tests.image.recipe import BASE, RecipeError

if TYPE_CHECKING:
    from collections.abc import Sequence

STEP_SECONDS = 1_800
"""Longest time of one RUN, or of debootstrap."""
PASSED_ON = re.compile(
    r"PIP_\w+|\w*SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|(https?|no)_proxy", re.IGNORECASE
)
"""Variables that pip needs to reach this machine's package index."""
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin",
    "LANG": "C.UTF-8",
}
"""What the base image sets."""


class BuildError(Exception):
    """Why an image cannot be built, in one sentence."""


def made_base(name: str, home: Path) -> Path:
    """Root directory with the Debian and the Python that the base image's tag names.

    Raises:
        BuildError: debootstrap fails, or brings another Python.
        RecipeError: the tag does not say which.
    """
    if not (match := BASE.fullmatch(name)):
        raise RecipeError(f"{name} does not say which Debian and Python it has: {BASE.pattern}")
    root = home / f"{match['suite']}-python{match['version']}"
    if not root.is_dir():
        say(f"making a stand-in for {name} with debootstrap")
        scratch = root.with_suffix(".partial")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        packages = "--include=python3,python3-venv,ca-certificates"
        run(["debootstrap", "--variant=minbase", packages, match["suite"], str(scratch)])
        furnish(scratch)
        version = Image(scratch, dict(ENVIRONMENT)).inside(["python", "--version"])
        if match["version"] not in (said := run(version)):
            raise BuildError(f"{name} is to have Python {match['version']}, and Debian has {said}")
        scratch.rename(root)
    return root


def furnish(root: Path) -> None:
    """Make what debootstrap left more like the base image: names of Python, no leftovers."""
    for name in ("python", "python3"):
        (root / "usr/local/bin" / name).symlink_to("/usr/bin/python3")
    shutil.rmtree(root / "var/cache/apt/archives")
    for path in (root / "var/lib/apt/lists").iterdir():
        if path.is_file():
            path.unlink()
    # Of the machine that debootstrap ran on; engines mount a file of names like this one.
    (root / "etc/resolv.conf").write_text("")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")


def outside() -> tuple[dict[str, str], list[Mount]]:
    """What a build needs of this machine to reach its package index: variables and files."""
    listed = run([sys.executable, "-m", "pip", "config", "list"]).splitlines()
    found = {name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)}
    for line in listed:
        name, _, value = line.partition("=")
        section, _, option = name.partition(".")
        if section in {"global", "install"}:
            found.setdefault(f"PIP_{option.upper().replace('-', '_')}", ast.literal_eval(value))
    named = {path for value in found.values() for path in map(local, value.split()) if path}
    paths = {Path("/etc/resolv.conf"), *(each for each in named if each.exists())}
    # What is in a directory that is mounted is there already.
    return found, [Mount(each, str(each)) for each in paths if paths.isdisjoint(each.parents)]


def local(word: str) -> Path | None:
    """File or directory of this machine that a setting names; None: it names none."""
    if word.startswith("file:///"):
        # An index of links, to files that lie beside it.
        return Path(urllib.parse.urlsplit(word).path).parent
    return Path(word) if word.startswith("/") else None


def run(command: Sequence[str]) -> str:
    """What a command says.

    Raises:
        BuildError: it fails, or takes too long.
    """
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=STEP_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{command[0]} took more than {STEP_SECONDS} s") from error
    if done.returncode:
        said = "\n".join([*done.stdout.splitlines()[-20:], *done.stderr.splitlines()[-20:]])
        raise BuildError(f"{' '.join(command[-3:])[:200]} failed with {done.returncode}:\n{said}")
    return done.stdout


def say(text: str) -> None:
    """Tell the terminal."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
