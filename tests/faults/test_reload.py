"""A bundle that was not copied whole takes the place of one that serves, under load."""

from __future__ import annotations

import json
import shutil
import signal
import threading
import urllib.request
from typing import TYPE_CHECKING, Final

from tests.faults.servers import replica, until

from khulasa_client import Client
from khulasa_server.bundles import store
from khulasa_server.bundles.manifest import MANIFEST_NAME, digest_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.servers import Replica

MODEL: Final = "demo-marian-ar-en"
SENTENCE: Final = "كيف حالك؟"
FAILED: Final = f'khulasa_model_reloads_total{{model="{MODEL}",result="failure"}} '


def failed_reloads(server: Replica) -> float:
    """How many reloads were refused."""
    with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.removeprefix(FAILED)) for line in lines if line.startswith(FAILED))


def truncated(directory: Path) -> Path:
    """A newer revision of a bundle whose largest file ends in the middle."""
    copy = directory.with_name("truncated")
    shutil.copytree(directory, copy)
    manifest = copy / MANIFEST_NAME
    content = json.loads(manifest.read_bytes())
    content["source"]["revision"] = "newer"
    content["digest"] = digest_of(content)
    manifest.write_text(json.dumps(content), "utf-8")
    weights = max(copy.rglob("*"), key=lambda path: path.stat().st_size)
    with weights.open("r+b") as file:
        file.truncate(weights.stat().st_size // 2)
    return copy


def test_a_truncated_bundle_is_refused_under_load(tmp_path: Path) -> None:
    """It is told and counted, the old one goes on, and no call fails or changes its model."""
    whole = tmp_path / "whole"
    shutil.copytree(store.resolve(MODEL), whole)
    current = tmp_path / "current"
    current.symlink_to(whole)
    digests: list[str] = []
    stop = threading.Event()
    with replica("khulasa_server", mute=True, models=current) as server:
        with Client(server.grpc) as client:

            def call() -> None:
                while not stop.is_set():
                    digests.append(client.translate(SENTENCE).model.digest)

            caller = threading.Thread(target=call)
            caller.start()
            try:
                until(lambda: len(digests) > 20, 30, "the first answers")
                link = tmp_path / "next"
                link.symlink_to(truncated(whole))
                link.replace(current)
                server.process.send_signal(signal.SIGHUP)
                until(lambda: failed_reloads(server) >= 1, 30, "the refusal of the reload")
                reached = len(digests)
                until(lambda: len(digests) > reached + 20, 30, "answers after it")
            finally:
                stop.set()
                caller.join(60)
            assert client.get_model(MODEL).digest == digests[0]
        assert set(digests) == {digests[0]}
        server.process.terminate()
        assert server.process.wait(60) == 0
