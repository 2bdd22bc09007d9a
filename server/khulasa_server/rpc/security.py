"""Who may connect and call, as the settings say."""

from __future__ import annotations

import ipaddress
import random
from typing import TYPE_CHECKING

from khulasa_server.observability.http import split_address
from khulasa_server.rpc.allowance import Allowances
from khulasa_server.rpc.authorization import TokenInterceptor
from khulasa_server.rpc.reloading import Refreshable, keep_fresh
from khulasa_server.rpc.tls import tls_of
from khulasa_server.rpc.tokens import TokenBook

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc

    from khulasa_server.config import Settings


class Security:
    """TLS and tokens of one server.

    Args:
        settings: what the operator chose.
        on_expiry: told when the certificate in use expires, in seconds since 1970.

    Raises:
        ValueError: the settings contradict each other, or a file cannot be used.
    """

    def __init__(self, settings: Settings, on_expiry: Callable[[float], None]) -> None:
        self._tls = tls_of(settings, on_expiry)
        self._book = TokenBook(settings.tokens_file) if settings.tokens_file else None
        if self._book and not (self._tls or settings.insecure_tokens or _stays_here(settings)):
            raise ValueError(
                "KHULASA_TOKENS_FILE without TLS lets everybody on the way read the tokens: set "
                "KHULASA_TLS_CERT and KHULASA_TLS_KEY, or KHULASA_INSECURE_TOKENS=true where "
                "something else encrypts the way"
            )

    def credentials(self) -> grpc.ServerCredentials | None:
        """For the port; None: plain text."""
        return self._tls.credentials() if self._tls else None

    def interceptors(self) -> list[grpc.aio.ServerInterceptor]:
        """What calls have to pass."""
        if self._book is None:
            return []
        rng = random.Random()  # noqa: S311 - spreads retries, guards nothing
        return [TokenInterceptor(self._book, Allowances(rng))]

    def refresh(self) -> None:
        """Read certificates and tokens again if they changed; reads files."""
        for each in self._files():
            each.refresh()

    async def keep_fresh(self) -> None:
        """Read certificates and tokens again when they change, until cancelled."""
        await keep_fresh(self._files())

    def _files(self) -> list[Refreshable]:
        return [each for each in (self._tls, self._book) if each is not None]


def _stays_here(settings: Settings) -> bool:
    """Whether nothing that is said to the port leaves this machine."""
    host, _ = split_address(settings.listen)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
