"""How large an image is, and of what."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.image.base import run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.image.chroot import Image

OWN = "opt/khulasa"
"""What the Dockerfile adds to its base."""
LARGEST = 8
"""Packages that are named."""


def sizes(image: Image) -> dict[str, float | dict[str, float]]:
    """Megabytes (10^6 bytes) of the whole, of what is ours, of that compressed, of its parts."""
    own = image.root / OWN
    (packages,) = own.glob("lib/python3*/site-packages")
    parts = {each.name: megabytes(each) for each in packages.iterdir()}
    largest = sorted(parts, key=parts.__getitem__, reverse=True)[:LARGEST]
    return {
        "whole_mb": megabytes(image.root),
        "own_mb": megabytes(own),
        "own_compressed_mb": compressed(own),
        "largest_mb": {name: parts[name] for name in largest},
    }


def megabytes(path: Path) -> float:
    """Size of what is below a path."""
    return round(int(run(["du", "--summarize", "--bytes", str(path)]).split()[0]) / 1e6, 1)


def compressed(path: Path) -> float:
    """Size of the layer as registries keep it: an archive that gzip made smaller."""
    count = 0
    with subprocess.Popen(
        ["tar", "--create", "--gzip", "--directory", str(path), "."], stdout=subprocess.PIPE
    ) as tar:
        assert tar.stdout
        while block := tar.stdout.read(1 << 20):
            count += len(block)
    return round(count / 1e6, 1)
