"""How a client reaches its server: address, TLS, token, and what the channel is told."""

from __future__ import annotations

import json
import re
import ssl
import uuid
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypedDict

import grpc

from khulasa_client.errors import ConfigurationError
from khulasa_client.failures import REQUEST_ID
from khulasa_client.methods import RETRIED

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""The server's default limit of a message."""
KEEPALIVE_SECONDS = 330
"""Beyond the 300 s that servers allow by default: a ping before ends the connection."""
KEEPALIVE_TIMEOUT_SECONDS = 20
MAX_RECONNECT_SECONDS = 5
"""Servers come back within seconds; gRPC would wait for up to two minutes."""
RETRY_POLICY = {
    "maxAttempts": 5,
    "initialBackoff": "0.2s",
    "maxBackoff": "5s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"],
}
"""CANCELLED is what gRPC's core says, in place of UNAVAILABLE, of a call that reached a server as
it stopped and that no handler ever saw. The service itself never says it, and
a call that is cancelled here is not tried again."""
RETRY_THROTTLING = {"maxTokens": 64, "tokenRatio": 0.1}
"""A retry costs a token and an answer gives a tenth back: at most 10 % extra in the long run.

None once half of them are gone: a replica that dies may take thirty calls with it, each of which is
to be answered by another one.
"""
HEALTH_CHECK = {"serviceName": "khulasa.v1.ModelService"}
"""Health that each connection watches where calls are spread: it serves from the moment a server
listens until it drains, so a server that will stop gets no call that it would have to cut off."""
RESOLVE_SECONDS = 5
"""How soon a name is looked up again after a server went; gRPC would wait for half a minute."""

SEVERAL = ("dns:", "ipv4:", "ipv6:")
"""Targets that can stand for several servers: calls are spread over all of them."""

try:
    VERSION = version("khulasa-client")
except PackageNotFoundError:  # run from its sources
    VERSION = "unknown"

Signature = tuple[tuple[int, int, int], ...]
"""Modification time (ns), size and inode of files: changes when one of them is replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """TLS to the server; with `certificate` and `key`, mutual TLS.

    The files are read again whenever they change. A change that leaves them unusable, e.g. a
    certificate whose key is not written yet, is not taken over until it is usable.

    Args:
        ca: PEM file of the authorities to trust; None: those that come with gRPC.
        certificate: PEM file of the client's own certificate chain.
        key: PEM file of its private key.
        server_name: the name the server's certificate is for; None: the address.
    """

    ca: Path | str | None = None
    certificate: Path | str | None = None
    key: Path | str | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ConfigurationError(
                "a client certificate needs its key, and a key its certificate"
            )

    def signature(self) -> Signature:
        """Tells whether a file was replaced since the last time.

        Raises:
            ConfigurationError: a file is missing.
        """
        paths = [Path(path) for path in (self.ca, self.certificate, self.key) if path is not None]
        return tuple(_signature(path) for path in paths)

    def credentials(self) -> grpc.ChannelCredentials:
        """What is in the files now.

        Raises:
            ConfigurationError: a file is missing, is not PEM, or key and certificate differ.
        """
        self._check()
        return grpc.ssl_channel_credentials(
            _read(self.ca), _read(self.key), _read(self.certificate)
        )

    def _check(self) -> None:
        """Say now what gRPC would say only as a failed handshake."""
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key, password=_no_password)
        except (OSError, ValueError) as error:  # SSLError is an OSError
            files = [
                str(path) for path in (self.ca, self.certificate, self.key) if path is not None
            ]
            raise ConfigurationError(f"{', '.join(files)}: {error}") from error


class ConnectionArguments(TypedDict, total=False):
    """How to reach the server.

    Args:
        tls: TLS to the server; by default plain text.
        token: sent as bearer token with every call.
        token_file: file that holds the token, read again for every call.
        insecure_token: send the token without TLS too, where everybody on the way can read it.
        retries: try again at all; by default yes.
        max_message_bytes: largest message sent or received; by default 4 MiB, as the server's.
    """

    tls: Tls | None
    token: str | None
    token_file: Path | str | None
    insecure_token: bool
    retries: bool
    max_message_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Everything a channel is made from: an address, and what `ConnectionArguments` says."""

    address: str
    tls: Tls | None = None
    token: str | None = None
    token_file: Path | str | None = None
    insecure_token: bool = False
    retries: bool = True
    max_message_bytes: int = MAX_MESSAGE_BYTES

    def __post_init__(self) -> None:
        if not self.address:
            raise ConfigurationError("the address is empty")
        if self.token is not None and self.token_file is not None:
            raise ConfigurationError("a token and a token file were given: choose one")
        has_token = self.token is not None or self.token_file is not None
        if has_token and self.tls is None and not self.insecure_token:
            raise ConfigurationError(
                "a token without TLS can be read by everybody on the way; "
                "insecure_token=True sends it all the same"
            )
        self.metadata("")

    def metadata(self, request_id: str) -> tuple[tuple[str, str], ...]:
        """What is sent with every call.

        Raises:
            ConfigurationError: the token or the id is not visible ASCII, or the file is unreadable.
        """
        if not re.fullmatch(r"[!-~]{0,128}", request_id):
            raise ConfigurationError("a request id has at most 128 visible ASCII characters")
        token = self._current_token()
        authorization = (("authorization", f"Bearer {token}"),) if token is not None else ()
        return ((REQUEST_ID, request_id), *authorization)

    def signature(self) -> Signature:
        """Tells whether a channel made before is still up to date."""
        return self.tls.signature() if self.tls else ()

    def credentials(self) -> grpc.ChannelCredentials | None:
        """What the TLS files hold now; None: plain text."""
        return self.tls.credentials() if self.tls else None

    @property
    def reads_files(self) -> bool:
        """Whether `signature`, `credentials` and `metadata` look at the disk."""
        return self.tls is not None or self.token_file is not None

    def options(self) -> list[tuple[str, str | int]]:
        """Channel arguments."""
        return [
            ("grpc.service_config", json.dumps(self._service_config())),
            ("grpc.enable_retries", int(self.retries)),
            # A call whose messages exceed this is not retried: let the largest one fit.
            ("grpc.per_rpc_retry_buffer_size", 2 * self.max_message_bytes),
            ("grpc.max_send_message_length", self.max_message_bytes),
            ("grpc.max_receive_message_length", self.max_message_bytes),
            ("grpc.keepalive_time_ms", KEEPALIVE_SECONDS * 1000),
            ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_SECONDS * 1000),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.min_reconnect_backoff_ms", MAX_RECONNECT_SECONDS * 1000),
            ("grpc.max_reconnect_backoff_ms", MAX_RECONNECT_SECONDS * 1000),
            ("grpc.dns_min_time_between_resolutions_ms", RESOLVE_SECONDS * 1000),
            # Else a channel with new certificates would go on with the old one's connections.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.primary_user_agent", f"khulasa-client/{VERSION}"),
            *self._server_name(),
        ]

    def _service_config(self) -> dict[str, object]:
        config: dict[str, object] = {}
        if self.address.startswith(SEVERAL):
            config["loadBalancingConfig"] = [{"round_robin": {}}]
            config["healthCheckConfig"] = HEALTH_CHECK
        if self.retries:
            names = [method.path.removeprefix("/").split("/") for method in RETRIED]
            config["methodConfig"] = [
                {
                    "name": [{"service": service, "method": method} for service, method in names],
                    "retryPolicy": RETRY_POLICY,
                }
            ]
            config["retryThrottling"] = RETRY_THROTTLING
        return config

    def _server_name(self) -> list[tuple[str, str | int]]:
        if self.tls is None or self.tls.server_name is None:
            return []
        return [("grpc.ssl_target_name_override", self.tls.server_name)]

    def _current_token(self) -> str | None:
        token = self.token
        if self.token_file is not None:
            content = _read(self.token_file) or b""
            token = content.decode("utf-8", errors="replace").strip()
        if token is not None and not re.fullmatch(r"[!-~]+", token):
            raise ConfigurationError("the token is empty or not visible ASCII")
        return token


def new_request_id() -> str:
    """A name for a call in the server's log."""
    return uuid.uuid4().hex


def _signature(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read(path: Path | str | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error


def _no_password() -> str:
    """Fail where a key is encrypted instead of asking the terminal."""
    raise ValueError("the key is encrypted")
