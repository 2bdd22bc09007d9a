"""TLS and mutual TLS whose certificates are read again when their files change."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from khulasa_server.rpc.reloading import Reloaded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from khulasa_server.config import Settings


class Material(NamedTuple):
    """What a handshake needs.

    Args:
        configuration: key, chain and, for mutual TLS, who may sign clients' certificates.
        expires: when the server's certificate does, in seconds since 1970.
    """

    configuration: grpc.ServerCertificateConfiguration
    expires: float


class ServerTls:
    """The server's side of TLS.

    A connection keeps the certificate it was made with; the next one gets the new certificate.

    Args:
        certificate: PEM file with the chain, the server's own certificate first.
        key: PEM file with its private key, not encrypted.
        client_ca: PEM file with the authorities of clients; None: clients need no certificate.
        on_expiry: told when the certificate in use expires, from any thread.

    Raises:
        ValueError: the files cannot be used.
    """

    def __init__(
        self,
        certificate: Path,
        key: Path,
        client_ca: Path | None,
        on_expiry: Callable[[float], None],
    ) -> None:
        paths = [certificate, key, *([client_ca] if client_ca else [])]
        self._files = Reloaded(paths, parse)
        self._mutual = client_ca is not None
        self._on_expiry = on_expiry
        self._lock = threading.Lock()
        self._given = self._files.current
        on_expiry(self._given.expires)

    def credentials(self) -> grpc.ServerCredentials:
        """For one port."""
        return grpc.dynamic_ssl_server_credentials(
            self._given.configuration,
            self._changed,  # type: ignore[arg-type]  # the stubs leave out None: no change
            require_client_authentication=self._mutual,
        )

    def refresh(self) -> None:
        """Take over changed files; reads them."""
        self._files.refresh()
        self._on_expiry(self._files.current.expires)

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """A certificate that the port does not have yet.

        gRPC asks before every handshake, in a thread of its own, so reading files holds up this
        handshake and nothing else.
        """
        self.refresh()
        with self._lock:
            if self._given is self._files.current:
                return None
            self._given = self._files.current
            return self._given.configuration


def tls_of(settings: Settings, on_expiry: Callable[[float], None]) -> ServerTls | None:
    """TLS as the settings say; None: plain text.

    Raises:
        ValueError: half of what TLS needs is set, or a file cannot be used.
    """
    certificate, key = settings.tls_cert, settings.tls_key
    if certificate is None and key is None:
        if settings.tls_client_ca is not None:
            raise ValueError("KHULASA_TLS_CLIENT_CA needs KHULASA_TLS_CERT and KHULASA_TLS_KEY")
        return None
    if certificate is None:
        raise ValueError("KHULASA_TLS_KEY is set and KHULASA_TLS_CERT is not")
    if key is None:
        raise ValueError("KHULASA_TLS_CERT is set and KHULASA_TLS_KEY is not")
    return ServerTls(certificate, key, settings.tls_client_ca, on_expiry)


def parse(files: list[bytes]) -> Material:
    """What chain, key and, if there is a third file, clients' authorities make together.

    gRPC would find their faults only at a handshake, one connection after another.

    Raises:
        ValueError: they are not PEM, the key is not the certificate's or not usable.
    """
    chain, key = files[:2]
    roots = files[2] if len(files) > 2 else None  # noqa: PLR2004 - the third is optional
    leaf = _certificates(chain)[0]
    if _private_key(key).public_key() != leaf.public_key():
        raise ValueError("the private key is not the certificate's")
    if roots is not None:
        _certificates(roots)
    configuration = grpc.ssl_server_certificate_configuration([(key, chain)], roots)
    return Material(configuration, leaf.not_valid_after_utc.timestamp())


def _certificates(pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ValueError("there is no PEM certificate in a file that must have one") from error


def _private_key(pem: bytes) -> RSAPrivateKey | EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise ValueError("the private key is encrypted") from error
    except ValueError as error:
        raise ValueError("there is no PEM private key in the key's file") from error
    if not isinstance(key, (RSAPrivateKey, EllipticCurvePrivateKey)):
        raise ValueError("the private key is neither RSA nor EC, which is what gRPC serves with")  # noqa: TRY004 - of its value
    return key
