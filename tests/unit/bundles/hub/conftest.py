"""A fake Hub with a tiny checkpoint, and where to download it to."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import huggingface_hub.constants
import pytest
from tests.unit.bundles.hub.fake import LARGE, FakeHub, Server

from khulasa_server.bundles.building import resuming
from khulasa_server.bundles.building.hub import Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def fake(checkpoints: dict[str, Path]) -> Iterator[FakeHub]:
    """A Hub with the tiny Marian checkpoint, and files beside it that no bundle needs."""
    files = {path.name: path.read_bytes() for path in checkpoints["marian"].iterdir()}
    fake = FakeHub({**files, "tf_model.h5": b"x" * 9_000, "pytorch_model.bin": b"y" * 9_000})
    server = Server(fake)
    fake.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield fake
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def place(fake: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Downloads from the fake Hub into a cache of the test's own, without bars or tokens."""
    monkeypatch.setattr(resuming, "LARGE_BYTES", LARGE)
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    return Place(endpoint=fake.endpoint, cache=tmp_path / "cache")
