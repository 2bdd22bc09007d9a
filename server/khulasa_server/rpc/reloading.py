"""Files that are read again when they change, as certificates and tokens do while we serve."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from khulasa_server.observability.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

Content = TypeVar("Content")
Signature = tuple[tuple[int, int, int] | None, ...]
"""Modification time (ns), size and inode of each file; None where one is missing."""

RELOAD_SECONDS: Final = 1.0
"""How often files are looked at."""

log = logger(__name__)


class Reloaded(Generic[Content]):
    """What some files hold together: the last content that was usable.

    Half of a rotation, e.g. a certificate whose key is not written yet, is logged once and
    changes nothing. Safe to use from several threads.

    Args:
        paths: the files.
        parse: makes the content of their bytes; its ValueError is a sentence for operators.

    Raises:
        ValueError: the files cannot be used; the message names them.
    """

    def __init__(self, paths: Sequence[Path], parse: Callable[[list[bytes]], Content]) -> None:
        self._paths = tuple(paths)
        self._parse = parse
        self._lock = threading.Lock()
        self._seen = self._signature()
        self.current = self._read()

    def refresh(self) -> None:
        """Take over what the files hold now, if they changed and it can be used. Reads files."""
        with self._lock:
            signature = self._signature()
            if signature == self._seen:
                return
            self._seen = signature
            try:
                self.current = self._read()
            except ValueError as error:
                log.error("reload_failed", problem=str(error))  # noqa: TRY400 - the sentence is all
            else:
                log.info("reloaded", files=self._names())

    def _signature(self) -> Signature:
        # Taken before the files are read: a change in between is seen the next time.
        return tuple(map(_signature, self._paths))

    def _read(self) -> Content:
        try:
            return self._parse([path.read_bytes() for path in self._paths])
        except OSError as error:
            raise ValueError(f"cannot read {error.filename}: {error.strerror}") from error
        except ValueError as error:
            raise ValueError(f"{self._names()}: {error}") from error

    def _names(self) -> str:
        return ", ".join(map(str, self._paths))


class Refreshable(Protocol):
    """Something that comes from files."""

    def refresh(self) -> None:
        """Take over what they hold now."""
        ...


async def keep_fresh(things: Iterable[Refreshable], seconds: float = RELOAD_SECONDS) -> None:
    """Refresh all of them every so often, off the event loop, until cancelled."""
    watched = tuple(things)
    while watched:
        await asyncio.sleep(seconds)
        for thing in watched:
            await asyncio.to_thread(thing.refresh)


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
