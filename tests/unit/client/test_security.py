# ruff: noqa: ANN401 - fixtures of conftest.py have types that cannot be imported from there
# ruff: noqa: S106 - tokens of tests are no secrets
"""TLS, mutual TLS and tokens: what is checked, what is refused, what is read again."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import trustme

from khulasa.v1 import translation_pb2
from khulasa_client import Client, ConfigurationError, Tls, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def authority() -> trustme.CA:
    """Who signs everything."""
    return trustme.CA()


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> Path:
    """The authority's certificate."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture
def mutual(serve: Callable[..., Any], script: Any, authority: trustme.CA) -> Any:
    """A server that wants to see a certificate, and answers with the name in it."""
    script.then("Translate", *[who] * 5)
    return serve(script, server_credentials(authority, mutual=True))


def server_credentials(authority: trustme.CA, *, mutual: bool = False) -> grpc.ServerCredentials:
    """A certificate for localhost; clients need one too if `mutual`."""
    leaf = authority.issue_cert("localhost")
    pair = (leaf.private_key_pem.bytes(), leaf.cert_chain_pems[0].bytes())
    roots = authority.cert_pem.bytes() if mutual else None
    return grpc.ssl_server_credentials([pair], roots, require_client_auth=mutual)


def write_client_files(authority: trustme.CA, directory: Path, name: str) -> tuple[Path, Path]:
    """Certificate and key of a client; replaces what is there, as an atomic rename does."""
    leaf = authority.issue_cert(identity(name))
    certificate, key = directory / "client.pem", directory / "client.key"
    for path, blob in ((key, leaf.private_key_pem), (certificate, leaf.cert_chain_pems[0])):
        fresh = path.with_suffix(".new")
        blob.write_to_path(fresh)
        fresh.rename(path)
    return certificate, key


def identity(name: str) -> str:
    """A name that a certificate can carry."""
    return f"{name}.example"


def peer(context: grpc.ServicerContext) -> str:
    """Whom the client's certificate names."""
    names = context.auth_context()["x509_subject_alternative_name"]
    return bytes(names[0]).decode()


def who(_request: Any, context: grpc.ServicerContext) -> Any:
    """Answer with the name in the client's certificate."""
    translation = translation_pb2.Translation(text=peer(context))
    return translation_pb2.TranslateResponse(translations=[translation])


def test_tls(
    connect: Callable[..., Any],
    serve: Callable[..., Any],
    script: Any,
    authority: trustme.CA,
    ca: Path,
) -> None:
    """A server is trusted by its authority, under its name or under the one that is given."""
    port = serve(script, server_credentials(authority)).port
    assert connect(f"localhost:{port}", tls=Tls(ca=ca)).call("translate", "a").text == "A"
    named = Tls(ca=ca, server_name="localhost")
    assert connect(f"127.0.0.1:{port}", tls=named).call("translate", "a").text == "A"


def test_unknown_authority_is_refused(
    connect: Callable[..., Any], serve: Callable[..., Any], script: Any, ca: Path
) -> None:
    """A server that another authority vouches for is not talked to."""
    server = serve(script, server_credentials(trustme.CA()))
    with pytest.raises(UnavailableError):
        connect(server.address, tls=Tls(ca=ca), retries=False).call("translate", "a")
    assert script.seen == []


def test_certificates_are_read_again(
    connect: Callable[..., Any], mutual: Any, authority: trustme.CA, tmp_path: Path, ca: Path
) -> None:
    """After a rotation the next call is made with the new certificate, by the same client."""
    certificate, key = write_client_files(authority, tmp_path, "old")
    client = connect(mutual.address, tls=Tls(ca=ca, certificate=certificate, key=key))
    assert client.call("translate", "?").text == "old.example"
    write_client_files(authority, tmp_path, "new")
    assert client.call("translate", "?").text == "new.example"
    assert client.call("translate", "?").text == "new.example"


def test_half_a_rotation_is_survived(
    connect: Callable[..., Any], mutual: Any, authority: trustme.CA, tmp_path: Path, ca: Path
) -> None:
    """While the files do not fit together, or are gone, the old certificate goes on working."""
    certificate, key = write_client_files(authority, tmp_path, "old")
    client = connect(mutual.address, tls=Tls(ca=ca, certificate=certificate, key=key))
    assert client.call("translate", "?").text == "old.example"
    authority.issue_cert("other.example").private_key_pem.write_to_path(key)
    assert client.call("translate", "?").text == "old.example"
    assert client.call("translate", "?").text == "old.example"
    key.unlink()
    assert client.call("translate", "?").text == "old.example"
    write_client_files(authority, tmp_path, "new")
    assert client.call("translate", "?").text == "new.example"


def test_calls_in_flight_survive_a_rotation(
    mutual: Any, script: Any, authority: trustme.CA, tmp_path: Path, ca: Path
) -> None:
    """A stream that began with the old certificate is read to its end."""
    certificate, key = write_client_files(authority, tmp_path, "old")
    go = threading.Event()

    def slowly(_request: Any, _context: Any) -> Any:
        yield segment("1")
        go.wait(20)
        yield segment("2")
        summary = translation_pb2.StreamSummary()
        yield translation_pb2.StreamTranslateResponse(summary=summary)

    script.then("StreamTranslate", slowly)
    tls = Tls(ca=ca, certificate=certificate, key=key)
    with Client(mutual.address, tls=tls) as client:
        stream = client.stream_translate("?")
        assert next(stream).text == "1"
        write_client_files(authority, tmp_path, "new")
        assert client.translate("?").text == "new.example"
        go.set()
        assert [part.text for part in stream] == ["2"]


def segment(text: str) -> translation_pb2.StreamTranslateResponse:
    """One streamed segment."""
    result = translation_pb2.SegmentResult(text=text)
    return translation_pb2.StreamTranslateResponse(segment=result)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file"), (b"", "ca.pem"), (b"not a certificate", "ca.pem")],
    ids=["missing", "empty", "garbage"],
)
def test_unusable_files_are_told(
    connect: Callable[..., Any], tmp_path: Path, content: bytes | None, reason: str
) -> None:
    """What is wrong with a file is said at the first call, not as a failed connection."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=reason):
        connect("localhost:1", tls=Tls(ca=path)).call("translate", "a")


def test_certificate_needs_its_key(tmp_path: Path) -> None:
    """Half of a pair is a mistake."""
    with pytest.raises(ConfigurationError, match="needs its key"):
        Tls(certificate=tmp_path / "client.pem")


def test_token_over_tls(
    connect: Callable[..., Any],
    serve: Callable[..., Any],
    script: Any,
    authority: trustme.CA,
    ca: Path,
) -> None:
    """A token is sent with every call, over TLS without further ado."""
    server = serve(script, server_credentials(authority))
    client = connect(server.address, tls=Tls(ca=ca), token="secret")
    client.call("translate", "a")
    client.collect("bulk_translate", ["a"])
    assert [call.metadata["authorization"] for call in script.seen] == ["Bearer secret"] * 2


def test_token_without_tls_has_to_be_asked_for(
    connect: Callable[..., Any], server: Any, script: Any
) -> None:
    """Nobody sends a token in the open by accident."""
    with pytest.raises(ConfigurationError, match="insecure_token"):
        connect(server.address, token="secret")
    connect(server.address, token="secret", insecure_token=True).call("translate", "a")
    assert script.seen[0].metadata["authorization"] == "Bearer secret"


def test_token_file_is_read_again(
    connect: Callable[..., Any], server: Any, script: Any, tmp_path: Path
) -> None:
    """A rotated token is used by the next call."""
    path = tmp_path / "token"
    path.write_text("one\n")
    client = connect(server.address, token_file=path, insecure_token=True)
    client.call("translate", "a")
    path.write_text("two\n")
    client.call("translate", "a")
    assert [call.metadata["authorization"] for call in script.seen] == ["Bearer one", "Bearer two"]


@pytest.mark.parametrize("token", ["", "two words", "سر", "line\nbreak"])
def test_token_is_checked(token: str) -> None:
    """A token that no header can carry is refused, and not shown."""
    with pytest.raises(ConfigurationError, match="token") as caught:
        Client("localhost:1", token=token, insecure_token=True)
    assert not token or token not in str(caught.value)


def test_token_and_file_exclude_each_other(tmp_path: Path) -> None:
    """Two sources of one thing are a mistake, and so is a file that is not there."""
    with pytest.raises(ConfigurationError, match="choose one"):
        Client("localhost:1", token="x", token_file=tmp_path, insecure_token=True)
    with pytest.raises(ConfigurationError, match=os.strerror(2)):
        Client("localhost:1", token_file=tmp_path / "none", insecure_token=True)


def test_address_is_needed() -> None:
    """An empty address is refused."""
    with pytest.raises(ConfigurationError, match="address"):
        Client("")
