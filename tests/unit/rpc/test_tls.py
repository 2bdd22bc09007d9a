"""Certificates: what is accepted at the start, and what a change of files does."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from khulasa_server.config import Settings
from khulasa_server.rpc.security import Security
from khulasa_server.rpc.tls import ServerTls

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from pathlib import Path

SOON: Final = datetime(2090, 1, 1, tzinfo=UTC)
LATER: Final = datetime(2091, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signs."""
    return trustme.CA()


class Files:
    """Certificate, key and clients' authority in a directory."""

    def __init__(self, authority: trustme.CA, directory: Path) -> None:
        self.authority = authority
        self.certificate = directory / "tls.crt"
        self.key = directory / "tls.key"
        self.client_ca = directory / "ca.crt"
        self.rotate(SOON)
        authority.cert_pem.write_to_path(self.client_ca)

    def rotate(self, expires: datetime) -> None:
        """A new pair."""
        leaf = self.authority.issue_cert("localhost", not_after=expires)
        leaf.private_key_pem.write_to_path(self.key)
        leaf.cert_chain_pems[0].write_to_path(self.certificate)

    def settings(self, *names: str, **others: Any) -> Settings:  # noqa: ANN401 - any setting
        """With some of these files."""
        paths = {"cert": self.certificate, "key": self.key, "client_ca": self.client_ca}
        chosen: dict[str, Any] = {f"tls_{name}": paths[name] for name in names}
        return Settings(**chosen, **others)


@pytest.fixture
def files(authority: trustme.CA, tmp_path: Path) -> Files:
    """All as it should be."""
    return Files(authority, tmp_path)


def refuse(settings: Settings) -> str:
    """Why a server does not start."""
    with pytest.raises(ValueError, match=r"\S") as caught:
        Security(settings, lambda _expires: None)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_plain_text_has_no_credentials() -> None:
    """Without settings there is neither TLS nor a token to check."""
    security = Security(Settings(), lambda _expires: pytest.fail("there is no certificate"))
    assert security.credentials() is None
    assert security.interceptors() == []


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (["cert"], "KHULASA_TLS_KEY is not"),
        (["key"], "KHULASA_TLS_CERT is not"),
        (["client_ca"], "needs KHULASA_TLS_CERT and KHULASA_TLS_KEY"),
        (["key", "client_ca"], "KHULASA_TLS_CERT is not"),
    ],
)
def test_half_of_the_settings_is_a_mistake(files: Files, names: list[str], missing: str) -> None:
    """A sentence says which setting is missing."""
    assert missing in refuse(files.settings(*names))


@pytest.mark.parametrize("name", ["certificate", "key", "client_ca"])
def test_an_unreadable_file_is_named(files: Files, name: str) -> None:
    """A sentence says which file, and why."""
    path: Path = getattr(files, name)
    path.unlink()
    told = refuse(files.settings("cert", "key", "client_ca"))
    assert told == f"cannot read {path}: {os.strerror(2)}"


@pytest.mark.parametrize("name", ["certificate", "key", "client_ca"])
@pytest.mark.parametrize("content", [b"", b"nothing", b"\xff\x00"])
def test_a_file_that_is_not_pem_is_refused(files: Files, name: str, content: bytes) -> None:
    """Garbage is found at the start, not at the first handshake."""
    getattr(files, name).write_bytes(content)
    assert "there is no PEM" in refuse(files.settings("cert", "key", "client_ca"))


def test_a_key_of_another_certificate_is_refused(files: Files, authority: trustme.CA) -> None:
    """Key and certificate must be a pair."""
    authority.issue_cert("localhost").private_key_pem.write_to_path(files.key)
    assert "not the certificate's" in refuse(files.settings("cert", "key"))


def test_an_encrypted_key_is_refused(files: Files) -> None:
    """Nobody is there to type a password."""
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    files.key.write_bytes(encrypted)
    assert "encrypted" in refuse(files.settings("cert", "key"))


def test_a_key_that_grpc_cannot_use_is_refused(files: Files) -> None:
    """Handshakes with Ed25519 fail, so it is refused before there is one."""
    key = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    files.key.write_bytes(key)
    assert "neither RSA nor EC" in refuse(files.settings("cert", "key"))


def test_expiry_is_told(files: Files) -> None:
    """At the start and after each rotation it is known when the certificate expires."""
    told: list[float] = []
    tls = ServerTls(files.certificate, files.key, None, told.append)
    files.rotate(LATER)
    tls.refresh()
    assert told == [SOON.timestamp(), LATER.timestamp()]


def test_half_a_rotation_changes_nothing(
    files: Files, logged: list[MutableMapping[str, Any]]
) -> None:
    """A certificate without its key is logged as an error, once, and not used."""
    told: list[float] = []
    tls = ServerTls(files.certificate, files.key, files.client_ca, told.append)
    old = files.key.read_bytes()
    files.rotate(LATER)
    new = files.key.read_bytes()
    files.key.write_bytes(old)
    tls.refresh()
    tls.refresh()
    assert set(told) == {SOON.timestamp()}
    assert [line["event"] for line in logged] == ["reload_failed"]
    assert str(files.key) in logged[0]["problem"]
    files.key.write_bytes(new)
    tls.refresh()
    assert told[-1] == LATER.timestamp()


def test_tokens_in_the_open_have_to_be_asked_for(files: Files, tmp_path: Path) -> None:
    """Tokens need TLS, or an address that only this machine reaches, or a setting that says so."""
    tokens = tmp_path / "tokens"
    tokens.write_text("alice sha256:" + "0" * 64)
    for listen in ("[::]:0", "0.0.0.0:0", "10.0.0.1:0", "example.org:0"):
        told = refuse(Settings(tokens_file=tokens, listen=listen))
        assert "KHULASA_INSECURE_TOKENS" in told
    for allowed in (
        Settings(tokens_file=tokens, listen="127.0.0.1:0"),
        Settings(tokens_file=tokens, listen="[::1]:0"),
        Settings(tokens_file=tokens, listen="localhost:0"),
        Settings(tokens_file=tokens, listen="[::]:0", insecure_tokens=True),
        files.settings("cert", "key", tokens_file=tokens, listen="[::]:0"),
    ):
        assert len(Security(allowed, lambda _expires: None).interceptors()) == 1
