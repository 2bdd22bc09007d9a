"""Channels that live as long as their certificates."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from khulasa_client.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc

    from khulasa_client.connection import Connection, Signature

C = TypeVar("C")


class Material(NamedTuple):
    """What a new channel is made from."""

    signature: Signature
    credentials: grpc.ChannelCredentials | None


@dataclass(slots=True)
class Lease(Generic[C]):
    """A channel with the number of calls that use it."""

    channel: C
    signature: Signature
    users: int = 0
    retired: bool = False


class Channels(Generic[C]):
    """Hands out one channel until the certificates change, then another.

    A channel cannot take over new certificates. Calls in flight finish on the channel they began
    on, which is to be closed when the last of them has.

    Args:
        connection: says what channels are made from.
        make: makes one.
    """

    def __init__(self, connection: Connection, make: Callable[[Material], C]) -> None:
        self._connection = connection
        self._make = make
        self._lock = threading.Lock()
        self._current: Lease[C] | None = None
        self._refused: Signature | None = None
        self._closed = False

    def look(self) -> Material | None:
        """What a new channel is to be made from; None: the current one is up to date.

        Reads files. Half of a rotation is not an error while there is a channel that works.

        Raises:
            ConfigurationError: there is no channel, and the files are unusable.
        """
        current = self._current
        signature: Signature | None = None
        try:
            signature = self._connection.signature()
            if current is not None and signature in (current.signature, self._refused):
                return None
            return Material(signature, self._connection.credentials())
        except ConfigurationError:
            if current is None:
                raise
            self._refused = signature
            return None

    def acquire(self, material: Material | None) -> tuple[Lease[C], C | None]:
        """A lease on the current channel, and the channel before it if nobody uses that any more.

        Args:
            material: what `look` returned.

        Raises:
            ConfigurationError: the client is closed.
        """
        with self._lock:
            if self._closed:
                raise ConfigurationError("the client is closed")
            unused = self._renew(material) if material else None
            if self._current is None:
                raise ConfigurationError("the client is closed")
            self._current.users += 1
            return self._current, unused

    def release(self, lease: Lease[C]) -> C | None:
        """End a lease; returns the channel if it is to be closed."""
        with self._lock:
            lease.users -= 1
            return lease.channel if lease.retired and lease.users == 0 else None

    def close(self) -> C | None:
        """Hand out no more; returns the current channel, to be closed."""
        with self._lock:
            self._closed = True
            lease, self._current = self._current, None
            return lease.channel if lease else None

    def _renew(self, material: Material) -> C | None:
        last = self._current
        if last is not None and last.signature == material.signature:
            return None  # another call was faster
        self._current = Lease(self._make(material), material.signature)
        if last is None:
            return None
        last.retired = True
        return last.channel if last.users == 0 else None
