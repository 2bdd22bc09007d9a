"""One file of a repository, downloaded into huggingface_hub's cache, resumed where it stopped.

huggingface_hub takes up a broken connection, but what a killed process had of a file it throws
away. Large files are therefore put into its cache here, where it then finds them.
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from khulasa_server.bundles.building.tools import require

LARGE_BYTES = 8 * 1024 * 1024
"""Files from this size on are worth resuming."""


def get(
    hub: Any,  # noqa: ANN401 - no stubs
    repository: str,
    name: str,
    commit: str,
    *,
    endpoint: str | None,
    cache: Path | None,
) -> Path:
    """Path of a file in the cache, downloaded as far as it is missing.

    Args:
        hub: the package huggingface_hub.
        repository: Hub id.
        name: of the file.
        commit: of the repository.
        endpoint: of the Hub; None: the configured one.
        cache: directory; None: the configured one.
    """
    known = hub.try_to_load_from_cache(repository, name, cache_dir=cache, revision=commit)
    if isinstance(known, str):
        return Path(known)
    url = hub.hf_hub_url(repository, name, revision=commit, endpoint=endpoint)
    metadata = hub.get_hf_file_metadata(url, endpoint=endpoint)
    if metadata.etag and (metadata.size or 0) >= LARGE_BYTES:
        root = cache or Path(require("huggingface_hub.constants").HF_HUB_CACHE)
        blobs = root / f"models--{repository.replace('/', '--')}" / "blobs"
        _fill(blobs / metadata.etag, url, metadata)
    return Path(
        hub.hf_hub_download(repository, name, revision=commit, cache_dir=cache, endpoint=endpoint)
    )


def _fill(blob: Path, url: str, metadata: Any) -> None:  # noqa: ANN401 - no stubs
    """Download a blob unless it is there; what there is of it already is not downloaded again."""
    if blob.exists():
        return
    blob.parent.mkdir(parents=True, exist_ok=True)
    partial = blob.with_name(f"{blob.name}.khulasa-partial")
    with partial.open("ab") as stream:
        # Two builds of one model: the second waits, and finds the file.
        fcntl.flock(stream, fcntl.LOCK_EX)
        if blob.exists():
            return
        have = stream.tell()
        if have > metadata.size:
            stream.truncate(have := 0)
        headers = require("huggingface_hub.utils").build_hf_headers()
        if urlsplit(metadata.location).netloc != urlsplit(url).netloc:
            # Where the file is stored, the Hub's token is nobody's business.
            headers.pop("authorization", None)
        require("huggingface_hub.file_download").http_get(
            metadata.location,
            stream,
            resume_size=have,
            headers=headers,
            expected_size=metadata.size,
            displayed_filename=url.rpartition("/")[2],
        )
        stream.flush()
        partial.rename(blob)
