"""The HTTP port: `/metrics` for Prometheus, `/livez` and `/readyz` for the kubelet.

On the event loop that serves gRPC, because a liveness probe answered by any other thread would
say nothing about it. Rendering metrics leaves the loop: many series take milliseconds.
"""

from __future__ import annotations

import asyncio
import errno
import gzip
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from aiohttp import hdrs, web
from prometheus_client.exposition import choose_encoder, gzip_accepted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prometheus_client import CollectorRegistry

_CLOSING_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether calls should be sent here.

    Args:
        ready: every required service serves.
        waiting_for: for each service that does not serve, required or not, what it lacks.
    """

    ready: bool
    waiting_for: Mapping[str, str] = field(default_factory=dict)


class Scrapeable(Protocol):
    """What `/metrics` shows."""

    @property
    def registry(self) -> CollectorRegistry:
        """Everything that is registered."""
        ...

    def refresh(self) -> None:
        """Bring gauges that mirror other objects up to date; on the event loop."""
        ...

    def readiness(self, *, ready: bool) -> None:
        """Take note of what `/readyz` would say."""
        ...


class HttpPort:
    """Serves one server's metrics and probes.

    Args:
        metrics: what `/metrics` renders.
        readiness: asked at each `/readyz`, on the event loop.
    """

    def __init__(self, metrics: Scrapeable, readiness: Callable[[], Readiness]) -> None:
        self._metrics = metrics
        self._readiness = readiness
        # One thread: scrapes that pile up wait for each other instead of taking the cores.
        self._renderer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="metrics")
        self._runner = web.AppRunner(
            self._application(), access_log=None, shutdown_timeout=_CLOSING_SECONDS
        )

    async def start(self, listen: str) -> tuple[str, int]:
        """Listen on `host:port` (`[::]:0` for any address and port).

        Returns:
            Host and port that a client on this machine can dial.

        Raises:
            OSError: the address is in use or not ours; its message names it.
            ValueError: `listen` is not `host:port`.
        """
        bound = bind(listen)
        await self._runner.setup()
        await web.SockSite(self._runner, bound).start()
        return dialable(bound)

    async def close(self) -> None:
        """Stop listening; answers under way get 2 seconds."""
        await self._runner.cleanup()
        self._renderer.shutdown(wait=False)

    def _application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/metrics", self._show_metrics)
        application.router.add_get("/livez", self._show_life)
        application.router.add_get("/readyz", self._show_readiness)
        return application

    async def _show_metrics(self, request: web.Request) -> web.Response:
        self._metrics.refresh()
        self._metrics.readiness(ready=self._readiness().ready)
        accept = ",".join(request.headers.getall(hdrs.ACCEPT, ()))
        encoding = ",".join(request.headers.getall(hdrs.ACCEPT_ENCODING, ()))
        loop = asyncio.get_running_loop()
        body, headers = await loop.run_in_executor(self._renderer, self._render, accept, encoding)
        return web.Response(body=body, headers=headers)

    def _render(self, accept: str, encoding: str) -> tuple[bytes, dict[str, str]]:
        encode, content_type = choose_encoder(accept)
        body = encode(self._metrics.registry)
        headers: dict[str, str] = {
            hdrs.CONTENT_TYPE: content_type,
            hdrs.VARY: "Accept, Accept-Encoding",
        }
        if not gzip_accepted(encoding):
            return body, headers
        headers[hdrs.CONTENT_ENCODING] = "gzip"
        return gzip.compress(body, compresslevel=1), headers

    async def _show_life(self, _request: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def _show_readiness(self, _request: web.Request) -> web.Response:
        readiness = self._readiness()
        return web.json_response(
            {"ready": readiness.ready, "waiting_for": dict(readiness.waiting_for)},
            status=200 if readiness.ready else 503,
        )


def split_address(listen: str) -> tuple[str, int]:
    """Host and port of `host:port`, with the brackets of an IPv6 host taken off.

    Raises:
        ValueError: there is no port, or no number between 0 and 65535.
    """
    host, separator, port = listen.rpartition(":")
    if not separator or not port.isascii() or not port.isdigit() or int(port) > 65_535:  # noqa: PLR2004 - the largest port
        raise ValueError(f"{listen!r} is not host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)


def bind(listen: str) -> socket.socket:
    """A listening socket; `::` and an empty host mean every address, of IPv4 too.

    Raises:
        OSError: the address is in use or not ours; its message names it.
        ValueError: `listen` is not `host:port`.
    """
    host, port = split_address(listen)
    try:
        if host in {"", "::"}:
            return _listening_everywhere(port)
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return _listening(host, port, family)
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {listen}: {error.strerror}") from error


def _listening_everywhere(port: int) -> socket.socket:
    # A kernel may know IPv6 and still have it turned off, which shows only at bind.
    if socket.has_dualstack_ipv6():
        try:
            return _listening("::", port, socket.AF_INET6, dualstack=True)
        except OSError as error:
            if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                raise
    return _listening("0.0.0.0", port, socket.AF_INET)  # noqa: S104 - asked for


def _listening(host: str, port: int, family: int, *, dualstack: bool = False) -> socket.socket:
    return socket.create_server((host, port), family=family, dualstack_ipv6=dualstack)


def dialable(bound: socket.socket) -> tuple[str, int]:
    """Host and port under which a client on this machine reaches a listening socket."""
    host, port = bound.getsockname()[:2]
    return {"::": "127.0.0.1", "0.0.0.0": "127.0.0.1"}.get(host, host), port  # noqa: S104 - compared
