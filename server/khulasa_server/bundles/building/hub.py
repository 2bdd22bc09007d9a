"""Checkpoints from the Hugging Face Hub, or from what was downloaded of it before.

`HF_ENDPOINT`, `HF_HOME`, `HF_TOKEN` and `HF_HUB_OFFLINE` mean what they mean to huggingface_hub,
which does the talking; its cache is used and filled, so nothing is downloaded twice.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from khulasa_server.bundles.building import checkpoint as checkpoints
from khulasa_server.bundles.building import resuming
from khulasa_server.bundles.building.describe import Origin
from khulasa_server.bundles.building.profiles import profile_of
from khulasa_server.bundles.building.tools import require
from khulasa_server.bundles.errors import CheckpointError, DiskFullError, HubError
from khulasa_server.bundles.manifest import Architecture
from khulasa_server.bundles.store import digest_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_CONFIG = "config.json"
_WANTED = (_CONFIG, "generation_config.json", "tokenizer_config.json", "README.md", "LICENSE")
_TOKENIZERS = {
    Architecture.MARIAN: ("source.spm", "target.spm", "vocab.json"),
    Architecture.MT5: ("spiece.model",),
}
_OPTIONAL_TOKENIZERS = {Architecture.MARIAN: ("target_vocab.json",), Architecture.MT5: ()}
_WEIGHTS = (("model", ".safetensors"), ("pytorch_model", ".bin"))


@dataclass(frozen=True, slots=True)
class Place:
    """Where to download from and to.

    Args:
        endpoint: of the Hub; None: what `HF_ENDPOINT` says.
        cache: directory; None: what `HF_HOME` says.
    """

    endpoint: str | None = None
    cache: Path | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A file as the Hub lists it.

    Args:
        name: path in the repository.
        size: bytes.
        sha256: digest of its content; empty for a small file kept in Git itself.
        blob: Git's own digest of a small file.
    """

    name: str
    size: int
    sha256: str
    blob: str


def looks_like_hub_id(name: str) -> bool:
    """Whether a name is a short one or `owner/name`, and no path."""
    if Path(name).exists() or name.startswith(("/", ".", "~")):
        return False
    return profile_of(name) is not None or name.count("/") == 1


def fetch(
    name: str,
    revision: str = "",
    *,
    place: Place = Place(),
    say: Callable[[str], None] = lambda _: None,
) -> Origin:
    """Download what a bundle needs of a repository, as far as it is not here yet.

    An interrupted download goes on where it stopped, file by file and inside the large ones.

    Args:
        name: Hub id or short name.
        revision: branch, tag or commit; empty: the default branch.
        place: where from and to.
        say: told each step as it begins.

    Returns:
        The directory with the files, and the commit they are of.

    Raises:
        HubError: the Hub cannot be reached, or has no such thing.
        DiskFullError: there is no room; nothing was downloaded.
        CheckpointError: it is no model that can be built, or a file arrived damaged.
    """
    profile = profile_of(name)
    repository = profile.repository if profile else name
    hub = require("huggingface_hub")
    with _explained(repository, revision, place):
        try:
            info = _info(hub, repository, revision, place)
        except require("huggingface_hub.errors").OfflineModeIsEnabled:
            say(f"offline: looking for {repository} in the cache")
            return _cached(hub, repository, revision, place)
        origin = _download(hub, repository, info, place, say)
        _remember(hub, origin, revision, place)
        return origin


def _info(hub: Any, repository: str, revision: str, place: Place) -> Any:  # noqa: ANN401 - no stubs
    api = hub.HfApi(endpoint=place.endpoint)
    return api.model_info(repository, revision=revision or None, files_metadata=True)


def _cached(hub: Any, repository: str, revision: str, place: Place) -> Origin:  # noqa: ANN401 - no stubs
    directory = hub.snapshot_download(
        repository, revision=revision or None, cache_dir=place.cache, local_files_only=True
    )
    return Origin(Path(directory), repository, Path(directory).name)


def _remember(hub: Any, origin: Origin, revision: str, place: Place) -> None:  # noqa: ANN401 - no stubs
    # Asked for by its branch, a file that is there already makes the library note the branch's
    # commit: offline, the branch is then found.
    hub.hf_hub_download(
        origin.repository,
        _CONFIG,
        revision=revision or "main",
        cache_dir=place.cache,
        endpoint=place.endpoint,
    )


def _download(
    hub: Any,  # noqa: ANN401 - no stubs
    repository: str,
    info: Any,  # noqa: ANN401 - no stubs
    place: Place,
    say: Callable[[str], None],
) -> Origin:
    listed = {file.name: file for file in map(_listed, info.siblings)}
    commit = str(info.sha)

    def get(file: Listed) -> Path:
        return resuming.get(
            hub, repository, file.name, commit, endpoint=place.endpoint, cache=place.cache
        )

    if _CONFIG not in listed:
        raise CheckpointError(f"{repository} holds no model: it has no {_CONFIG}")
    directory = get(listed[_CONFIG]).parent
    files = choose(listed, checkpoints.read(directory).architecture, repository)
    _refuse_full_disk(files, directory)
    for file in files:
        say(f"{repository}/{file.name}, {file.size:,} bytes")
        _verify(get(file), file, repository)
    return Origin(directory, repository, commit)


def _listed(sibling: Any) -> Listed:  # noqa: ANN401 - no stubs
    digest = sibling.lfs.sha256 if sibling.lfs else ""
    return Listed(sibling.rfilename, sibling.size or 0, digest, sibling.blob_id or "")


def choose(
    listed: dict[str, Listed], architecture: Architecture, repository: str
) -> Sequence[Listed]:
    """The files of a repository that a bundle needs; of weights in two formats, one.

    Raises:
        CheckpointError: one is missing; the message names it.
    """
    for needed in _TOKENIZERS[architecture]:
        if needed not in listed:
            raise CheckpointError(f"{repository} lacks {needed}")
    names = [*_WANTED, *_TOKENIZERS[architecture], *_OPTIONAL_TOKENIZERS[architecture]]
    chosen = [listed[name] for name in names if name in listed]
    for stem, suffix in _WEIGHTS:
        weights = [
            file
            for name, file in listed.items()
            if name in {stem + suffix, f"{stem}{suffix}.index.json"}
            or (name.startswith(f"{stem}-") and name.endswith(suffix))
        ]
        if weights:
            return [*chosen, *weights]
    raise CheckpointError(f"{repository} lacks weights: neither safetensors nor .bin")


def _refuse_full_disk(files: Sequence[Listed], directory: Path) -> None:
    missing = sum(file.size for file in files if not (directory / file.name).exists())
    free = shutil.disk_usage(directory).free
    if missing > free:
        raise DiskFullError(
            f"{missing:,} bytes are to be downloaded and {directory} has room for {free:,}: "
            "free some, or point HF_HOME elsewhere"
        )


def _verify(path: Path, file: Listed, repository: str) -> None:
    """Compare a file with what the Hub lists; a damaged one is removed, so that it comes anew."""
    actual = digest_file(path).sha256 if file.sha256 else _git_blob(path)
    if actual in {file.sha256, file.blob}:
        return
    path.resolve().unlink()
    path.unlink(missing_ok=True)
    raise CheckpointError(
        f"{repository}/{file.name} arrived damaged (its digest is not the Hub's) and was removed: "
        "run the same command again"
    )


def _git_blob(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@contextmanager
def _explained(repository: str, revision: str, place: Place) -> Iterator[None]:
    """Turn what huggingface_hub raises into one sentence."""
    errors = require("huggingface_hub.errors")
    host = place.endpoint or os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        yield
    except errors.GatedRepoError as error:
        raise HubError(
            f"{repository} is gated: accept its terms at {host}/{repository}, then set HF_TOKEN"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise HubError(
            f"{host} has no model {repository}; if it is private, set HF_TOKEN"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise HubError(f"{repository} has no revision {revision!r}") from error
    except errors.LocalEntryNotFoundError as error:
        raise HubError(
            f"{repository} is not complete in the cache, and HF_HUB_OFFLINE forbids to download it"
        ) from error
    except errors.HFValidationError as error:
        raise HubError(f"{repository!r} is neither a directory nor a Hub id") from error
    except errors.HfHubHTTPError as error:
        raise HubError(f"{host} refused: {_first_line(error)}") from error
    except errors.HTTPError as error:
        raise HubError(f"{host} cannot be reached: {_first_line(error)}") from error
    except OSError as error:
        raise HubError(f"{repository} was not downloaded: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
