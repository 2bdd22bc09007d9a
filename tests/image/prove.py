"""Proves the Dockerfile without a container engine: `make image-proof`, as root.

Its steps are run in order in chroots, the server is started as the image says, and is asked.
`--target builder` proves the image that builds bundles as well, by building one and serving it;
`--base python:3.11-slim-bookworm` takes another base, as `--build-arg BASE=…` does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.image import bundle, serving
from tests.image.base import BuildError, say
from tests.image.building import Builder
from tests.image.recipe import RecipeError, read
from tests.image.sizes import sizes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.image.chroot import Image

ROOT = Path(__file__).parents[2]
HOME = ROOT / "build" / "image"
TOOLS = ("chroot", "debootstrap", "ip", "mount", "nsenter", "setpriv", "unshare")


def main(arguments: Sequence[str]) -> int:
    """Build and prove; 1 with one sentence where something is missing or wrong."""
    asked = options(arguments)
    for missing in lacks():
        sys.stderr.write(f"the proof of the image {missing}\n")
        return 1
    given = {"BASE": asked.base} if asked.base else {}
    try:
        report = prove(Builder(read(ROOT / "Dockerfile", given), ROOT, HOME, given), asked.target)
    except (BuildError, RecipeError, serving.ProofError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    (HOME / "report.json").write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    say(json.dumps(report, indent=2))
    return 0


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--target", choices=["server", "builder"], default="server")
    parser.add_argument("--base", default="", help="another base image")
    return parser.parse_args(arguments)


def lacks() -> Iterator[str]:
    """What this machine lacks, as ends of sentences."""
    if platform.system() != "Linux":
        yield f"needs Linux, and this is {platform.system()}"
    elif os.geteuid() != 0:
        yield "needs root, which alone may change roots and mount"
    for tool in TOOLS:
        if not shutil.which(tool):
            yield f"needs `{tool}`, which is not on PATH (apt install debootstrap iproute2 has all)"


def prove(builder: Builder, target: str) -> dict[str, Any]:
    """Everything that is claimed about the images.

    Raises:
        ProofError: something is not as claimed.
    """
    server = builder.build("server")
    report: dict[str, Any] = {"server": about(server) | serving.prove(server)}
    if target == "builder":
        image = builder.build("builder")
        built = bundle.prove(image, server, HOME / "models")
        report["builder"] = about(image) | built
    return report


def about(image: Image) -> dict[str, Any]:
    """What an image says about itself, and its size."""
    return {"user": image.user, "labels": image.labels, "sizes": sizes(image)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
