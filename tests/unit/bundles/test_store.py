"""A bundle is what it was when it was built, or it is refused by the name of what differs."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from khulasa_server.bundles import store
from khulasa_server.bundles.errors import (
    BundleNotFoundError,
    DigestMismatchError,
    MissingFileError,
    NotABundleError,
    UnknownFormatError,
    UnlistedFileError,
)
from khulasa_server.bundles.manifest import MANIFEST_NAME, digest_of

if TYPE_CHECKING:
    from pathlib import Path

    from khulasa_server.bundles.store import Bundle


def rewrite(bundle: Bundle, **changes: object) -> None:
    """Change a manifest and give it the digest that goes with the change."""
    file = bundle.path / MANIFEST_NAME
    content = {**json.loads(file.read_bytes()), **changes}
    file.write_text(json.dumps({**content, "digest": digest_of(content)}), "utf-8")


def test_an_untouched_bundle_is_accepted(bundle: Bundle) -> None:
    """What was built opens, and its manifest is the one that was written."""
    assert store.open_bundle(str(bundle.path)) == bundle


def test_every_file_counts(bundle: Bundle) -> None:
    """One byte changed in any file of the bundle refuses it, and the message names the file."""
    for name in bundle.manifest.files:
        path = bundle.path / name
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(DigestMismatchError, match=f"^{name} in "):
            store.verify_files(bundle)
        path.write_bytes(content)
    store.verify_files(bundle)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_digest_covers_every_field(bundle: Bundle, data: st.DataObject) -> None:
    """Changing the value of any field of the manifest changes its digest."""
    content = json.loads((bundle.path / MANIFEST_NAME).read_bytes())
    field = data.draw(st.sampled_from(sorted(set(content) - {"digest"})))
    assert digest_of({**content, field: "something else"}) != digest_of(content)


def test_the_digest_names_the_files(bundle: Bundle) -> None:
    """The bundle's digest depends on the digest of each file: another file, another bundle."""
    file = bundle.path / MANIFEST_NAME
    content = json.loads(file.read_bytes())
    content["files"]["NOTICE"]["sha256"] = "0" * 64
    assert digest_of(content) != bundle.manifest.digest


def test_an_edited_manifest_is_refused(bundle: Bundle) -> None:
    """A licence, a limit or anything else cannot be changed in place."""
    file = bundle.path / MANIFEST_NAME
    file.write_text(file.read_text("utf-8").replace("CC0-1.0", "MIT"), "utf-8")
    with pytest.raises(DigestMismatchError, match=r"manifest\.json was changed"):
        store.load(bundle.path)


def test_a_file_of_another_size_is_refused_without_reading_it(bundle: Bundle) -> None:
    """A truncated file is told by its size, which is said."""
    path = bundle.path / "model" / "model.bin"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DigestMismatchError, match=r"model/model\.bin .* has 100 bytes"):
        store.verify_files(bundle)


def test_a_missing_file_is_named(bundle: Bundle) -> None:
    """A file that was not copied is named."""
    (bundle.path / "source.spm").unlink()
    with pytest.raises(MissingFileError, match=r"source\.spm"):
        store.verify_files(bundle)


def test_nothing_can_be_slipped_in_beside_the_weights(bundle: Bundle) -> None:
    """A vocabulary map beside the weights, which CTranslate2 would load unasked, is refused."""
    (bundle.path / "model" / "vmap.txt").write_text("", "utf-8")
    with pytest.raises(UnlistedFileError, match=r"model/vmap\.txt"):
        store.verify_files(bundle)


def test_a_directory_without_manifest_is_no_bundle(tmp_path: Path) -> None:
    """An empty directory is refused by what it lacks."""
    with pytest.raises(NotABundleError, match=r"has no manifest\.json"):
        store.load(tmp_path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [("{", "cannot be read"), ("[]", "holds no object"), ('{"format": 1}', "is not a manifest")],
)
def test_a_damaged_manifest_is_no_bundle(tmp_path: Path, content: str, complaint: str) -> None:
    """Half a manifest, or another JSON file, is refused in one sentence."""
    (tmp_path / MANIFEST_NAME).write_text(content, "utf-8")
    with pytest.raises(NotABundleError, match=complaint):
        store.load(tmp_path)


def test_a_later_format_is_told_from_a_damaged_one(bundle: Bundle) -> None:
    """A bundle of a format to come says so, instead of complaining about its fields."""
    rewrite(bundle, format=2, surprise=True)
    with pytest.raises(UnknownFormatError, match="has format 2; this version reads 1"):
        store.load(bundle.path)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "model/../../outside", "a\\b", ""])
def test_a_manifest_cannot_point_outside(bundle: Bundle, name: str) -> None:
    """File names that lead out of the bundle are refused, even under a right digest."""
    rewrite(bundle, files={name: {"sha256": "0" * 64, "size": 0}})
    with pytest.raises(NotABundleError, match="plain path"):
        store.load(bundle.path)


def test_names_and_paths_resolve(bundle: Bundle) -> None:
    """A name finds an embedded bundle, a path any directory."""
    name = store.embedded_names()[0]
    assert store.resolve(name) == store.embedded_directory() / name
    assert store.resolve(str(bundle.path)) == bundle.path


def test_an_unknown_name_lists_the_known_ones() -> None:
    """A misspelled name is answered with those there are."""
    with pytest.raises(BundleNotFoundError, match="demo-marian-ar-en"):
        store.resolve("demo-marian")


def test_progress_tells_every_byte(bundle: Bundle) -> None:
    """Verification reports as many bytes as the bundle has, so that a bar can be drawn."""
    seen: list[int] = []
    store.verify_files(bundle, seen.append)
    assert sum(seen) == sum(file.size for file in bundle.manifest.files.values())


def test_renames_make_another_bundle_and_writing_does_not(bundle: Bundle, tmp_path: Path) -> None:
    """A swapped symlink, directory or manifest is another identity; a file in place is the same."""
    link, other = tmp_path / "link", shutil.copytree(bundle.path, tmp_path / "other")
    link.symlink_to(bundle.path)
    first = store.identity(link)
    assert first is not None
    assert first == store.identity(bundle.path)
    file = bundle.path / MANIFEST_NAME
    file.write_bytes(file.read_bytes() + b"\n")
    (bundle.path / "README.md").write_text("grown", "utf-8")
    assert store.identity(link) == first
    link.unlink()
    link.symlink_to(other)
    assert store.identity(link) == store.identity(other) != first
    copy = tmp_path / "copy"
    copy.write_bytes(file.read_bytes())
    copy.replace(file)
    assert store.identity(bundle.path) != first
    renamed = store.identity(bundle.path)
    bundle.path.rename(tmp_path / "gone")
    assert store.identity(bundle.path) is None
    other.rename(bundle.path)
    assert store.identity(bundle.path) not in {None, first, renamed}


def test_a_pinned_bundle_stays_where_it_is(bundle: Bundle, tmp_path: Path) -> None:
    """A symlink, or a directory of symlinks, may lead elsewhere a moment later; loops are none."""
    link, projected, loop = tmp_path / "link", tmp_path / "projected", tmp_path / "loop"
    link.symlink_to(bundle.path)
    projected.mkdir()
    for entry in bundle.path.iterdir():
        (projected / entry.name).symlink_to(entry)
    loop.symlink_to(loop)
    assert store.pinned(bundle.path) == bundle.path
    assert store.pinned(link) == store.pinned(projected) == bundle.path
    assert store.identity(loop) is None
    with pytest.raises(NotABundleError):
        store.load(store.pinned(loop))
