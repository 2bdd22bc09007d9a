"""What was rendered is run: the server's command and environment, its probes, and `helm test`.

Processes stand in for containers. Secrets become directories, and paths of mounts theirs.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trustme

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Object = dict[str, Any]
Secrets = dict[str, dict[str, bytes]]

TOKEN = "0123456789abcdef0123456789abcdef"  # noqa: S105 - made up
SECURE = {
    "tls": {"existingSecret": "server-tls", "clientCASecret": "clients-ca"},
    "auth": {"existingSecret": "tokens", "key": "accepted"},
    "test": {"task": "summarize", "clientCertificateSecret": "client-tls", "tokenSecret": "token"},
    "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}},
}


class Node:
    """Runs containers as processes.

    Args:
        home: where Secrets are mounted.
        secrets: of the namespace.
    """

    def __init__(self, home: Path, secrets: Secrets) -> None:
        self._home, self._secrets = home, secrets

    def mounts(self, pod: Object, container: Object) -> dict[str, str]:
        """Path in the container → path of the directory that stands in for it."""
        volumes = {each["name"]: each for each in pod["volumes"]}
        found = {}
        for mount in container["volumeMounts"]:
            directory = self._home / pod["containers"][0]["name"] / mount["name"]
            directory.mkdir(parents=True)
            self._fill(directory, volumes[mount["name"]])
            found[mount["mountPath"]] = str(directory)
        return found

    def _fill(self, directory: Path, volume: Object) -> None:
        if not (secret := volume.get("secret")):
            return
        content = self._secrets[secret["secretName"]]
        items = secret.get("items") or [{"key": key, "path": key} for key in content]
        for item in items:
            if item["key"] in content or not secret.get("optional"):
                (directory / item["path"]).write_bytes(content[item["key"]])

    def start(self, pod: Object, environment: dict[str, str]) -> subprocess.Popen[str]:
        """Start the one container of a pod, with this environment besides its own."""
        (container,) = pod["containers"]
        mounts = self.mounts(pod, container)

        def here(text: str) -> str:
            for path, directory in mounts.items():
                text = text.replace(f"{path}/", f"{directory}/")
            return text

        own = {each["name"]: each["value"] for each in container.get("env", [])}
        given = {name: here(value) for name, value in (own | environment).items()}
        given |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        return subprocess.Popen(
            [here(word) for word in container["command"]],
            env=given | {"OMP_NUM_THREADS": "1", "LANG": "C.UTF-8"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    @contextmanager
    def serving(self, release: Any) -> Iterator[Object]:  # noqa: ANN401 - the class is conftest's
        """The rendered server, on ports of its own; gives what it says when it serves."""
        free = {"KHULASA_LISTEN": "127.0.0.1:0", "KHULASA_METRICS_LISTEN": "127.0.0.1:0"}
        process = self.start(release.pod, release.settings | free)
        try:
            assert process.stdout
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
            process.communicate(timeout=60)
        assert process.returncode == 0

    def test(self, release: Any, port: str) -> tuple[int, str]:  # noqa: ANN401 - the same
        """Exit status and output of `helm test`'s pod against a server on this machine."""
        address = {"KHULASA_ADDRESS": f"dns:///localhost:{port}"}
        process = self.start(release.one("Pod")["spec"], address)
        output, _ = process.communicate(timeout=100)
        return process.returncode, output


def probe(server: Object, name: str, address: str) -> int:
    """Status that a probe of the container is answered with."""
    path = server[f"{name}Probe"]["httpGet"]["path"]
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=30) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        return error.code


def certificates() -> Secrets:
    """Secrets of a server and a client that trust the same authority."""
    authority = trustme.CA()
    ca = authority.cert_pem.bytes()
    server, client = authority.issue_cert("localhost"), authority.issue_cert("client")

    def secret(leaf: trustme.LeafCert) -> dict[str, bytes]:
        chain = b"".join(each.bytes() for each in leaf.cert_chain_pems)
        return {"tls.crt": chain, "tls.key": leaf.private_key_pem.bytes(), "ca.crt": ca}

    return {
        "server-tls": secret(server),
        "client-tls": secret(client),
        "clients-ca": {"ca.crt": ca},
        "tokens": {
            "accepted": f"ci sha256:{hashlib.sha256(TOKEN.encode()).hexdigest()}\n".encode()
        },
        "token": {"token": TOKEN.encode()},
    }


def test_the_default_release_serves(render: Callable[..., Any], tmp_path: Path) -> None:
    """The rendered server starts, its probes pass, and `helm test` gets a translation."""
    release, node = render(), Node(tmp_path, {})
    with node.serving(release) as serving:
        asked = {name: probe(release.server, name, serving["metrics"]) for name in
                 ("startup", "readiness", "liveness")}  # fmt: skip
        assert set(asked.values()) == {200}
        status, output = node.test(release, serving["grpc"].rpartition(":")[2])
    assert status == 0, output
    answer = json.loads(output[output.index("{") :])
    assert answer["text"]


def test_a_secured_release_serves_those_it_knows(
    render: Callable[..., Any], tmp_path: Path
) -> None:
    """With mutual TLS and tokens, `helm test` gets a summary; without its token it fails."""
    release, secrets = render(SECURE), certificates()
    with Node(tmp_path / "first", secrets).serving(release) as serving:
        port = serving["grpc"].rpartition(":")[2]
        status, output = Node(tmp_path / "second", secrets).test(release, port)
        secrets["token"]["token"] = TOKEN[::-1].encode()
        refused, _ = Node(tmp_path / "third", secrets).test(release, port)
    assert status == 0, output
    assert json.loads(output[output.index("{") :])["text"]
    assert refused != 0
