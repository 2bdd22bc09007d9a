"""What was rendered is run: the server's command and environment, its probes, and `helm test`.

Processes stand in for containers. Secrets become directories, and paths of mounts theirs.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import trustme

if TYPE_CHECKING:
    from collections.abc import Callable

Object = dict[str, Any]
Secrets = dict[str, dict[str, bytes]]
if TYPE_CHECKING:
    Namespace = Callable[[Secrets], Any]

TOKEN = "0123456789abcdef0123456789abcdef"  # noqa: S105 - made up
SECURE = {
    "tls": {"existingSecret": "server-tls", "clientCASecret": "clients-ca"},
    "auth": {"existingSecret": "tokens", "key": "accepted"},
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


def test_the_default_release_serves(render: Callable[..., Any], node: Namespace) -> None:
    """The rendered server starts, its probes pass, and `helm test` gets a translation."""
    release, here = render(), node({})
    with here.serving(release) as (pod, port):
        assert {pod.probe(name) for name in ("startup", "readiness", "liveness")} == {200}
        status, output = here.test(release, port)
    assert status == 0, output
    assert json.loads(output[output.index("{") :])["text"]


def test_a_secured_release_serves_those_it_knows(
    render: Callable[..., Any], node: Namespace
) -> None:
    """With mutual TLS and tokens, `helm test` gets a summary; with another token it fails."""
    release, secrets = render(SECURE), certificates()
    here = node(secrets)
    with here.serving(release) as (_, port):
        status, output = here.test(release, port)
        secrets["token"]["token"] = TOKEN[::-1].encode()
        refused, _ = here.test(release, port)
    assert status == 0, output
    assert json.loads(output[output.index("{") :])["text"]
    assert refused != 0
