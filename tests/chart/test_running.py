"""What was rendered is run: the server's command and environment, its probes, and `helm test`.

Processes stand in for containers. Secrets become directories, and paths of mounts theirs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from tests.chart.cluster import cluster
from tests.chart.notes import Terminal, commands, notes
from tests.chart.pods import Node, Secrets

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chart.releases import Helm, Release

Object = dict[str, Any]
Namespace = Callable[[Secrets], Node]

TOKEN = "0123456789abcdef0123456789abcdef"  # noqa: S105 - made up
SECURE = {
    "tls": {"existingSecret": "server-tls", "clientCASecret": "clients-ca"},
    "auth": {"existingSecret": "tokens", "key": "accepted"},
    "server": {"drainDelay": 0},
    "test": {"task": "summarize", "clientCertificateSecret": "client-tls", "tokenSecret": "token"},
    "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}},
}


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


Follow = Callable[[Object, Any, Secrets, str], str]


@pytest.fixture
def follow(helm: Helm, tools: Path, tmp_path: Path) -> Follow:
    """Does what NOTES.txt says for values, and gives the client's last words."""

    def run(values: Object, release: Release, secrets: Secrets, port: str) -> str:
        home = tmp_path / "terminal"
        home.mkdir()
        client = secrets.get("client-tls", {})
        (home / "client.crt").write_bytes(client.get("tls.crt", b""))
        (home / "client.key").write_bytes(client.get("tls.key", b""))
        (home / "token").write_text(TOKEN)
        lines = commands(notes(helm, values, tmp_path))
        with cluster(release, secrets) as server:
            terminal = Terminal(home, tools, server)
            for line in lines:
                if line.startswith("kubectl") and "port-forward" not in line:
                    terminal.run(line)
            (line,) = (line for line in lines if "| khulasa" in line)
            # The server is on this machine, with a port of its own: nothing has to be forwarded.
            return terminal.run(line.replace("localhost:50051", f"localhost:{port}"))

    return run


def test_the_default_release_serves(
    render: Callable[..., Any], node: Namespace, follow: Follow
) -> None:
    """Its probes pass, `helm test` gets a translation, and so does who follows NOTES.txt."""
    release, here = render(), node({})
    with here.serving(release) as (pod, port):
        assert {pod.probe(name) for name in ("startup", "readiness", "liveness")} == {200}
        status, output = here.test(release, port)
        followed = follow({}, release, {}, port)
    assert status == 0, output
    assert json.loads(output[output.index("{") :])["text"]
    assert followed.strip()


def test_a_secured_release_serves_those_it_knows(
    render: Callable[..., Any], node: Namespace, follow: Follow
) -> None:
    """With mutual TLS and tokens, `helm test` and NOTES.txt work; with another token they fail."""
    release, secrets = render(SECURE), certificates()
    here = node(secrets)
    with here.serving(release) as (_, port):
        status, output = here.test(release, port)
        followed = follow(SECURE, release, secrets, port)
        secrets["token"]["token"] = TOKEN[::-1].encode()
        refused, _ = here.test(release, port)
    assert status == 0, output
    assert json.loads(output[output.index("{") :])["text"]
    assert followed.strip()
    assert refused != 0
