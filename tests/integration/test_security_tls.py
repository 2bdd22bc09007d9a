"""TLS and mutual TLS over real connections, and certificates that change meanwhile."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import grpc
import pytest
import trustme

from khulasa.v1 import translation_pb2, translation_pb2_grpc
from khulasa_client import AsyncClient, ConfigurationError, Tls, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.integration.conftest import Service

    Serve = Callable[..., AbstractAsyncContextManager[Service]]

SENTENCE: Final = "ذهب الولد إلى المدرسة"
FIRST: Final = datetime(2090, 1, 1, tzinfo=UTC)
SECOND: Final = datetime(2091, 1, 1, tzinfo=UTC)


class Authority:
    """Signs certificates into files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._signer = trustme.CA()
        self.file = directory / "ca.pem"
        self._signer.cert_pem.write_to_path(self.file)

    def sign(self, name: str, expires: datetime = FIRST) -> dict[str, Path]:
        """A pair for the settings; takes the place of one of the same name."""
        leaf = self._signer.issue_cert("localhost", "127.0.0.1", not_after=expires)
        blobs = {"key": leaf.private_key_pem, "cert": leaf.cert_chain_pems[0]}
        paths = {part: self.directory / f"{name}.{part}" for part in blobs}
        for part, blob in blobs.items():
            fresh = paths[part].with_suffix(".new")
            blob.write_to_path(fresh)
            fresh.rename(paths[part])
        return {f"tls_{part}": path for part, path in paths.items()}

    def trusted(self, **more: Any) -> Tls:  # noqa: ANN401 - of a Tls
        """What a client of a server with such a certificate has."""
        return Tls(ca=self.file, **more)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Who signs."""
    return Authority(tmp_path)


def shown(address: str, **versions: Any) -> dict[str, Any]:  # noqa: ANN401 - of a context
    """The certificate and the protocol that a server shows, at a handshake by hand."""
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    for name, value in versions.items():
        setattr(context, name, value)
    with (
        socket.create_connection((host, int(port)), timeout=30) as plain,
        context.wrap_socket(plain) as wrapped,
    ):
        der = wrapped.getpeercert(binary_form=True)
        return {"certificate": der, "version": wrapped.version()}


async def expiry(service: Service) -> float:
    """What `/metrics` says of the certificate."""
    url = f"http://{service.server.metrics_address}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        text = await answer.text()
    found = re.search(r"^khulasa_certificate_expiry_timestamp_seconds (\S+)$", text, re.MULTILINE)
    assert found, "no expiry in /metrics"
    return float(found[1])


async def test_the_client_talks_tls(serve: Serve, authority: Authority) -> None:
    """A client that trusts the authority is served; plain text and other authorities are not."""
    async with serve(**authority.sign("server")) as service:
        address = service.server.grpc_address
        async with AsyncClient(address, tls=authority.trusted()) as client:
            assert (await client.translate(SENTENCE)).text
        other = authority.directory / "other"
        other.mkdir()
        for tls in (None, Authority(other).trusted()):
            async with AsyncClient(address, tls=tls, retries=False) as client:
                with pytest.raises(UnavailableError):
                    await client.translate(SENTENCE, timeout=30)


async def test_old_versions_of_tls_are_refused(serve: Serve, authority: Authority) -> None:
    """TLS 1.2 and 1.3 are spoken, 1.1 is not."""
    async with serve(**authority.sign("server")) as service:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            seen = await asyncio.to_thread(
                shown,
                service.server.grpc_address,
                maximum_version=version,
                minimum_version=version,
            )
            assert seen["version"] == version.name.replace("_", ".")
        with pytest.raises(OSError, match=r"."), pytest.warns(match="TLSv1_1"):
            shown_old(service.server.grpc_address)


def shown_old(address: str) -> None:
    """A handshake with TLS 1.1, which Python warns of."""
    shown(
        address,
        minimum_version=ssl.TLSVersion.TLSv1_1,
        maximum_version=ssl.TLSVersion.TLSv1_1,
    )


async def test_mutual_tls_asks_for_a_certificate(serve: Serve, authority: Authority) -> None:
    """Clients with a certificate of the authority are served, those with none or another's not."""
    elsewhere = authority.directory / "elsewhere"
    elsewhere.mkdir()
    mine, others = authority.sign("client"), Authority(elsewhere).sign("client")
    async with serve(**authority.sign("server"), tls_client_ca=authority.file) as service:
        address = service.server.grpc_address
        tls = authority.trusted(certificate=mine["tls_cert"], key=mine["tls_key"])
        async with AsyncClient(address, tls=tls) as client:
            assert (await client.translate(SENTENCE)).text
        foreign = authority.trusted(certificate=others["tls_cert"], key=others["tls_key"])
        for refused in (authority.trusted(), foreign):
            async with AsyncClient(address, tls=refused, retries=False) as client:
                with pytest.raises(UnavailableError):
                    await client.translate(SENTENCE, timeout=30)


async def test_a_rotation_drops_nothing(serve: Serve, authority: Authority) -> None:
    """A stream opened before a rotation goes on; connections made after it see the new one."""
    async with serve(**authority.sign("server")) as service:
        address = service.server.grpc_address
        before = await asyncio.to_thread(shown, address)
        credentials = grpc.ssl_channel_credentials(authority.file.read_bytes())
        async with grpc.aio.secure_channel(address, credentials) as channel:
            stub: Any = translation_pb2_grpc.TranslationServiceStub(channel)
            stream = stub.BulkTranslate()
            await stream.write(translation_pb2.BulkTranslateRequest(id="1", content=SENTENCE))
            assert (await stream.read()).id == "1"
            authority.sign("server", SECOND)
            after = await asyncio.to_thread(shown, address)
            assert after["certificate"] != before["certificate"]
            await stream.write(translation_pb2.BulkTranslateRequest(id="2", content=SENTENCE))
            assert (await stream.read()).id == "2"
            await stream.done_writing()
            assert await stream.read() is grpc.aio.EOF
        async with AsyncClient(address, tls=authority.trusted()) as client:
            assert (await client.translate(SENTENCE)).text


async def test_a_broken_rotation_keeps_the_old_certificate(
    serve: Serve, authority: Authority, logged: list[Any]
) -> None:
    """While the new files do not fit together, the old pair is shown and an error is logged."""
    pair = authority.sign("server")
    async with serve(**pair) as service:
        address = service.server.grpc_address
        before = await asyncio.to_thread(shown, address)
        pair["tls_key"].write_text("nothing")
        assert await asyncio.to_thread(shown, address) == before
        problems = [line["problem"] for line in logged if line["event"] == "reload_failed"]
        assert len(problems) == 1
        assert "no PEM private key" in problems[0]
        authority.sign("server", SECOND)
        assert await asyncio.to_thread(shown, address) != before


async def test_expiry_is_a_metric(serve: Serve, authority: Authority) -> None:
    """The metric is the expiry of the certificate in use, after a rotation without callers too."""
    async with serve(**authority.sign("server")) as service:
        assert await expiry(service) == FIRST.timestamp()
        authority.sign("server", SECOND)
        async with asyncio.timeout(30):
            while await expiry(service) != SECOND.timestamp():
                pass


async def test_a_client_whose_certificate_is_replaced_stays_connected(
    serve: Serve, authority: Authority
) -> None:
    """Under mutual TLS both sides rotate, and the same client goes on."""
    mine = authority.sign("client")
    async with serve(**authority.sign("server"), tls_client_ca=authority.file) as service:
        tls = authority.trusted(certificate=mine["tls_cert"], key=mine["tls_key"])
        async with AsyncClient(service.server.grpc_address, tls=tls) as client:
            for expires in (FIRST, SECOND, FIRST):
                authority.sign("client", expires)
                authority.sign("server", expires)
                assert (await client.translate(SENTENCE)).text


async def test_a_broken_certificate_is_a_start_up_error(serve: Serve, authority: Authority) -> None:
    """A server whose certificate cannot be used does not start."""
    pair = authority.sign("server")
    pair["tls_key"].write_text("nothing")
    with pytest.raises(ValueError, match="no PEM private key"):
        async with serve(**pair):
            pytest.fail("it started")


async def test_the_client_refuses_a_token_in_the_open(serve: Serve) -> None:
    """The library does not send a token without TLS unless told to."""
    async with serve() as service:
        with pytest.raises(ConfigurationError, match="insecure_token"):
            AsyncClient(service.server.grpc_address, token="t" * 43)
