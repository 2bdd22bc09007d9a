"""The build Job as it is: the product downloads, builds and verifies; then pods serve that."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.bundles.hub.fake import COMMIT, REPOSITORY, FakeHub, Handler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.chart.pods import Node
    from tests.chart.releases import Release

CHECKPOINT = Path(__file__).parents[2] / "server/training/checkpoints/demo-mt5-ar-summary"
WEIGHTS = "model.safetensors"
TOKEN = "hf_made_up"  # noqa: S105 - as it says
VALUES = {
    "models": {
        "source": "build",
        "build": {
            "image": "builder:1",
            "items": [
                {
                    "name": "summarizer",
                    "source": REPOSITORY,
                    "revision": COMMIT,
                    "languages": ["ar"],
                    "license": "CC-BY-SA-4.0",
                }
            ],
            "tokenSecret": "hub",
        },
    },
    "server": {"drainDelay": 0},
    "test": {"task": "summarize"},
    "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}},
}


class Guarded(Handler):
    """A Hub that shows its files to those alone who bring the token."""

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        """As the Hub does, after a look at the token."""
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            super().do_GET()
        else:
            self._send(401, b"{}", {"X-Error-Code": "RepoNotFound"})


class Server(ThreadingHTTPServer):
    """Serves a guarded Hub on a free port."""

    daemon_threads = True

    def __init__(self, fake: FakeHub) -> None:
        super().__init__(("127.0.0.1", 0), Guarded)
        self.fake = fake


@contextmanager
def hub() -> Iterator[FakeHub]:
    """A Hub with the embedded summarizer's checkpoint."""
    fake = FakeHub({path.name: path.read_bytes() for path in CHECKPOINT.iterdir()})
    server = Server(fake)
    fake.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def build(node: Node, release: Release, fake: FakeHub) -> int:
    """Exit status of the Job's one container."""
    spec = release.one("Job")["spec"]["template"]["spec"]
    more = {"HF_ENDPOINT": fake.endpoint, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    process = node.run(spec, spec["containers"][0], more)
    process.communicate(timeout=100)
    return process.returncode


@pytest.mark.timeout(180)
def test_a_build_that_was_cut_goes_on_and_is_served(
    render: Callable[..., Any], node: Callable[..., Node]
) -> None:
    """A Job that fails leaves what it has; the next builds, the pod stops waiting and serves it."""
    release, here = render(VALUES), node({"hub": {"token": TOKEN.encode()}})
    (waiter,) = release.pod["initContainers"]
    with hub() as fake, here.run(release.pod, waiter, {}) as waiting:
        fake.refuse = {f"/{REPOSITORY}/resolve/{COMMIT}/{WEIGHTS}": (500, "")}
        assert build(here, release, fake) != 0
        assert "config.json" in fake.downloads()
        assert waiting.poll() is None

        fake.refuse = {}
        fake.requests.clear()
        assert build(here, release, fake) == 0
        assert fake.downloads() == [WEIGHTS]
        waiting.communicate(timeout=30)
        assert waiting.returncode == 0
    with here.serving(release) as (pod, port):
        assert pod.probe("readiness") == 200
        status, output = here.test(release, port)
    assert status == 0, output
    summary = json.loads(output[output.index("{") :])
    assert summary["text"]
    manifest = here.claim("news-khulasa-models").glob("summarizer-*/manifest.json")
    (built,) = (json.loads(path.read_text("utf-8")) for path in manifest)
    assert built["source"] == built["source"] | {"repository": REPOSITORY, "revision": COMMIT}


def test_without_the_token_nothing_is_built(
    render: Callable[..., Any], node: Callable[..., Node]
) -> None:
    """A Hub that asks for a token refuses a Job whose Secret holds another."""
    release, here = render(VALUES), node({"hub": {"token": b"hf_another"}})
    with hub() as fake:
        assert build(here, release, fake) != 0
        assert fake.downloads() == []
