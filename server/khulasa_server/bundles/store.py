"""Bundles on disk: find, read and check them."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from khulasa_server.bundles.errors import (
    BundleNotFoundError,
    DigestMismatchError,
    MissingFileError,
    NotABundleError,
    UnknownFormatError,
    UnlistedFileError,
)
from khulasa_server.bundles.manifest import (
    FORMAT,
    MANIFEST_NAME,
    MODEL_DIRECTORY,
    File,
    Manifest,
    digest_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose manifest was read.

    Args:
        path: its directory.
        manifest: what is known about it.
    """

    path: Path
    manifest: Manifest

    @property
    def model_directory(self) -> Path:
        """What the engine loads."""
        return self.path / MODEL_DIRECTORY


Identity = tuple[str, int, int, int]
"""Path, device and inode of a bundle's directory, inode of its manifest."""


def embedded_directory() -> Path:
    """Where the bundles are that come with the package."""
    return Path(str(resources.files("khulasa_server.bundles"))) / "demo"


def embedded_names() -> tuple[str, ...]:
    """Names of the bundles that come with the package, sorted."""
    return tuple(sorted(path.parent.name for path in embedded_directory().glob("*/manifest.json")))


def resolve(name_or_path: str) -> Path:
    """Directory of an embedded bundle's name, or of a path.

    Raises:
        BundleNotFoundError: it is neither; the message lists the embedded names.
    """
    if name_or_path in embedded_names():
        return embedded_directory() / name_or_path
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return path
    known = ", ".join(embedded_names())
    raise BundleNotFoundError(
        f"{name_or_path!r} is neither a directory nor an embedded bundle ({known})"
    )


def pinned(path: Path) -> Path:
    """The directory that a path leads to at this moment, whatever symlink is swapped next.

    A path may be a symlink, or a directory whose entries are symlinks into one that is swapped,
    which is how Kubernetes projects volumes.
    """
    # Unlike `Path.resolve` it takes a loop of symlinks for a path like any other.
    root = Path(os.path.realpath(path / MANIFEST_NAME)).parent
    return root if (root / MODEL_DIRECTORY).is_dir() else Path(os.path.realpath(path))


def identity(path: Path) -> Identity | None:
    """Tells whether a bundle was replaced by a rename; None: there is none at the path.

    Files that are written in place do not change it: half of a copy must not look like a bundle.
    """
    root = pinned(path)
    try:
        directory, manifest = root.stat(), (root / MANIFEST_NAME).stat()
    except OSError:
        return None
    return str(root), directory.st_dev, directory.st_ino, manifest.st_ino


def load(path: Path) -> Bundle:
    """Read a bundle's manifest and check the manifest's own digest.

    Raises:
        NotABundleError: no manifest, or one that cannot be read.
        UnknownFormatError: written by a version with another format.
        DigestMismatchError: the manifest was edited after the bundle was built.
    """
    file = path / MANIFEST_NAME
    try:
        content = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise NotABundleError(f"{path} is not a bundle: it has no {MANIFEST_NAME}") from None
    except (OSError, ValueError) as error:
        raise NotABundleError(f"{file} cannot be read: {error}") from error
    manifest = _parse(file, content)
    if manifest.digest != digest_of(content):
        raise DigestMismatchError(f"{file} was changed after the bundle was built")
    return Bundle(path, manifest)


def _parse(file: Path, content: object) -> Manifest:
    if not isinstance(content, dict):
        raise NotABundleError(f"{file} is not a manifest: it holds no object")
    found = content.get("format")
    if found is not None and found != FORMAT:
        raise UnknownFormatError(f"{file} has format {found!r}; this version reads {FORMAT}")
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise NotABundleError(f"{file} is not a manifest: {place}: {first['msg']}") from error


def digest_file(path: Path, progress: Callable[[int], None] | None = None) -> File:
    """Size and SHA-256 of a file, read in pieces.

    Args:
        path: the file.
        progress: told the bytes of each piece read.
    """
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            if progress:
                progress(len(chunk))
    return File(sha256=digest.hexdigest(), size=size)


def verify_files(bundle: Bundle, progress: Callable[[int], None] | None = None) -> None:
    """Check that every file is there and is what it was.

    Args:
        bundle: what to check; its manifest is trusted.
        progress: told the bytes of each piece read.

    Raises:
        MissingFileError: a listed file is not there.
        DigestMismatchError: a file differs; the message names it.
        UnlistedFileError: an unknown file is where the engine would pick it up.
    """
    _refuse_unlisted(bundle)
    for name, expected in bundle.manifest.files.items():
        path = bundle.path / name
        if not path.is_file():
            raise MissingFileError(f"{bundle.path} lacks {name}, which its manifest lists")
        if path.stat().st_size != expected.size:
            actual = path.stat().st_size
            raise DigestMismatchError(
                f"{name} in {bundle.path} has {actual} bytes; the manifest says {expected.size}"
            )
        if digest_file(path, progress).sha256 != expected.sha256:
            raise DigestMismatchError(
                f"{name} in {bundle.path} differs from what the bundle was built with"
            )


def _refuse_unlisted(bundle: Bundle) -> None:
    # CTranslate2 looks for optional files by name (vmap.txt, other vocabularies): one that was
    # slipped in would change outputs without any listed digest changing.
    for path in sorted(bundle.model_directory.rglob("*")):
        name = path.relative_to(bundle.path).as_posix()
        if path.is_file() and name not in bundle.manifest.files:
            raise UnlistedFileError(f"{name} in {bundle.path} is not in the manifest")


def open_bundle(name_or_path: str) -> Bundle:
    """Resolve, read and fully check a bundle.

    Raises:
        BundleError: whatever is wrong with it, in one sentence.
    """
    bundle = load(resolve(name_or_path))
    verify_files(bundle)
    return bundle


def embedded() -> list[Bundle]:
    """The bundles that come with the package, their files not checked, sorted by name."""
    return [load(embedded_directory() / name) for name in embedded_names()]
