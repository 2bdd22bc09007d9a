"""From the Hub: what is needed, once, whole, or one sentence that says why not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import huggingface_hub.constants
import pytest
from tests.unit.bundles.hub.fake import COMMIT, REPOSITORY

from khulasa_server.bundles import store
from khulasa_server.bundles.building import hub
from khulasa_server.bundles.building.hub import Place
from khulasa_server.bundles.errors import CheckpointError, DiskFullError, HubError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.bundles.hub.fake import FakeHub

    from khulasa_server.bundles.store import Bundle


def test_what_a_bundle_needs_is_downloaded(fake: FakeHub, place: Place) -> None:
    """Tokenizer, configuration, card and one format of weights; the commit is told."""
    origin = hub.fetch(REPOSITORY, place=place)
    assert (origin.repository, origin.revision) == (REPOSITORY, COMMIT)
    assert sorted(fake.downloads()) == [
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "source.spm",
        "target.spm",
        "tokenizer_config.json",
        "vocab.json",
    ]
    for name in fake.downloads():
        assert (origin.directory / name).read_bytes() == fake.files[name]


def test_nothing_is_downloaded_twice(fake: FakeHub, place: Place) -> None:
    """A second run asks what there is, and for no file."""
    first = hub.fetch(REPOSITORY, place=place)
    fake.requests.clear()
    assert hub.fetch(REPOSITORY, place=place) == first
    assert fake.downloads() == []


def test_an_interrupted_file_goes_on_where_it_stopped(fake: FakeHub, place: Place) -> None:
    """What a killed process had of the weights is kept; only the rest is asked for."""
    name, have = "model.safetensors", 4_321
    assert place.cache is not None
    blobs = place.cache / "models--someone--tiny" / "blobs"
    blobs.mkdir(parents=True)
    partial = blobs / f"{fake.etag(name)}.khulasa-partial"
    partial.write_bytes(fake.files[name][:have])
    origin = hub.fetch(REPOSITORY, place=place)
    assert (origin.directory / name).read_bytes() == fake.files[name]
    asked = [wanted for method, path, wanted in fake.requests if method == "GET" and name in path]
    assert [wanted.startswith(f"bytes={have}-") for wanted in asked] == [True]
    assert not partial.exists()


def test_too_much_of_a_file_is_not_kept(fake: FakeHub, place: Place) -> None:
    """A partial file longer than the whole is begun anew."""
    name = "model.safetensors"
    assert place.cache is not None
    blobs = place.cache / "models--someone--tiny" / "blobs"
    blobs.mkdir(parents=True)
    partial = blobs / f"{fake.etag(name)}.khulasa-partial"
    partial.write_bytes(b"z" * (len(fake.files[name]) + 1))
    origin = hub.fetch(REPOSITORY, place=place)
    assert (origin.directory / name).read_bytes() == fake.files[name]


def test_the_bundle_is_pinned_to_the_commit(
    place: Place,
    tmp_path: Path,
    recorder: Any,  # noqa: ANN401 - a fixture's value
) -> None:
    """Built from a branch, a bundle names the commit."""
    from khulasa_server.bundles.building.build import build  # noqa: PLC0415 - only here
    from khulasa_server.bundles.building.describe import BuildOptions  # noqa: PLC0415 - only here

    origin = hub.fetch(REPOSITORY, "main", place=place)
    bundle = build(origin, tmp_path / "bundle", BuildOptions(), recorder)
    assert bundle.manifest.source.repository == REPOSITORY
    assert bundle.manifest.source.revision == COMMIT
    assert bundle.manifest.name == "tiny"


def test_a_damaged_file_is_removed_and_comes_anew(fake: FakeHub, place: Place) -> None:
    """A file whose digest is not the Hub's is named and dropped; the next run gets it whole."""
    for name in ("model.safetensors", "tokenizer_config.json"):
        fake.corrupt = {name}
        with pytest.raises(CheckpointError, match=f"{name} arrived damaged"):
            hub.fetch(REPOSITORY, place=place)
        fake.corrupt = set()
        fake.requests.clear()
        origin = hub.fetch(REPOSITORY, place=place)
        assert name in fake.downloads()
        assert (origin.directory / name).read_bytes() == fake.files[name]
        assert place.cache is not None
        shutil.rmtree(place.cache)


@pytest.mark.parametrize(
    ("refuse", "revision", "complaint"),
    [
        ({"/api/": (404, "RepoNotFound")}, "", "has no model someone/tiny"),
        ({"/api/": (404, "RevisionNotFound")}, "v9", "has no revision 'v9'"),
        ({"/api/": (403, "GatedRepo")}, "", "is gated: accept its terms"),
        ({"/someone/": (403, "GatedRepo")}, "", "is gated: accept its terms"),
        ({"/api/": (500, "")}, "", "refused: .*500"),
    ],
)
def test_refusals_are_explained(
    fake: FakeHub,
    place: Place,
    refuse: dict[str, tuple[int, str]],
    revision: str,
    complaint: str,
) -> None:
    """No such repository, no such revision, gated, out of order: one sentence each."""
    fake.refuse = refuse
    with pytest.raises(HubError, match=complaint) as caught:
        hub.fetch(REPOSITORY, revision, place=place)
    assert "\n" not in str(caught.value)


def test_no_network_is_told(tmp_path: Path) -> None:
    """Where nobody listens, the message says who cannot be reached."""
    place = Place(endpoint="http://127.0.0.1:9", cache=tmp_path / "cache")
    with pytest.raises(HubError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
        hub.fetch(REPOSITORY, place=place)


def test_a_name_that_is_none_is_told(place: Place) -> None:
    """What can be neither a directory nor a repository is called that."""
    with pytest.raises(HubError, match="neither a directory nor a Hub id"):
        hub.fetch("a//b", place=place)


def test_a_full_disk_is_told_before_weights_are_asked_for(
    fake: FakeHub, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room is compared with what is to come; nothing but the configuration was downloaded."""
    usage = shutil.disk_usage("/")._replace(free=1_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DiskFullError, match="room for 1,000"):
        hub.fetch(REPOSITORY, place=place)
    assert fake.downloads() == ["config.json"]


def test_another_architecture_is_told_before_weights_are_asked_for(
    fake: FakeHub, place: Place
) -> None:
    """A BART repository costs one small file."""
    fake.files["config.json"] = b'{"model_type": "bart"}'
    with pytest.raises(CheckpointError, match="'bart' model"):
        hub.fetch(REPOSITORY, place=place)
    assert fake.downloads() == ["config.json"]


@pytest.mark.parametrize(
    ("lost", "complaint"),
    [
        (("vocab.json",), "lacks vocab.json"),
        (("model.safetensors", "pytorch_model.bin"), "lacks weights"),
        (("config.json",), "holds no model"),
    ],
)
def test_an_incomplete_repository_is_told(
    fake: FakeHub, place: Place, lost: tuple[str, ...], complaint: str
) -> None:
    """What a repository lacks is named before anything large is downloaded."""
    for name in lost:
        del fake.files[name]
    with pytest.raises(CheckpointError, match=complaint):
        hub.fetch(REPOSITORY, place=place)
    assert set(fake.downloads()) <= {"config.json"}


def test_shards_are_all_downloaded(fake: FakeHub, place: Place) -> None:
    """Weights in several files come with their index, and only one format of them."""
    del fake.files["model.safetensors"]
    shards = {f"pytorch_model-0000{n}-of-00002.bin": b"part" * n for n in (1, 2)}
    del fake.files["pytorch_model.bin"]
    fake.files |= {**shards, "pytorch_model.bin.index.json": b"{}"}
    hub.fetch(REPOSITORY, place=place)
    assert {*shards, "pytorch_model.bin.index.json"} <= set(fake.downloads())


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Switches huggingface_hub to what `HF_HUB_OFFLINE=1` means."""
    return lambda: monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def test_offline_serves_from_the_cache(
    fake: FakeHub, place: Place, offline: Callable[[], None]
) -> None:
    """What was downloaded once is found without a single request, with its commit."""
    first = hub.fetch(REPOSITORY, place=place)
    offline()
    fake.requests.clear()
    assert hub.fetch(REPOSITORY, place=place) == first
    assert fake.requests == []


def test_offline_without_a_cache_is_told(place: Place, offline: Callable[[], None]) -> None:
    """What was never downloaded is not there offline, and the setting at fault is named."""
    offline()
    with pytest.raises(HubError, match="HF_HUB_OFFLINE"):
        hub.fetch(REPOSITORY, place=place)


def test_short_names_and_ids_are_told_from_directories(tmp_path: Path, bundle: Bundle) -> None:
    """A directory of that name wins; `owner/name` and short names are the Hub's."""
    assert hub.looks_like_hub_id("opus-mt-ar-en")
    assert hub.looks_like_hub_id("xlsum")
    assert hub.looks_like_hub_id("Helsinki-NLP/opus-mt-ar-fr")
    assert not hub.looks_like_hub_id(str(bundle.path))
    assert not hub.looks_like_hub_id(str(tmp_path / "missing"))


def test_the_environment_decides_where_from_and_to(fake: FakeHub, tmp_path: Path) -> None:
    """`models build` downloads from HF_ENDPOINT into HF_HOME, and offline builds from there."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": fake.endpoint,
        "HF_HOME": str(tmp_path / "home"),
        "OMP_NUM_THREADS": "1",
    }

    def build(output: str, **more: str) -> subprocess.CompletedProcess[str]:
        program = "from khulasa_server.cli.models import app; app()"
        arguments = ["build", REPOSITORY, "--output", str(tmp_path / output)]
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env={**environment, **more},
            capture_output=True,
            text=True,
            check=False,
        )

    online = build("online")
    assert online.returncode == 0, online.stderr
    assert (tmp_path / "home" / "hub" / "models--someone--tiny").is_dir()
    fake.requests.clear()
    offline = build("offline", HF_HUB_OFFLINE="1")
    assert offline.returncode == 0, offline.stderr
    assert fake.requests == []
    both = [store.load(tmp_path / name).manifest.digest for name in ("online", "offline")]
    assert both[0] == both[1]
    assert both[0] in online.stdout
