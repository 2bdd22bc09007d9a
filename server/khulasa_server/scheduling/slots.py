"""Slots for work that is no segment: loading a model, measuring an engine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from khulasa_server.scheduling.core import SchedulerCore


class Slots:
    """Engine threads that the holder may run himself; used on the event loop only.

    Args:
        core: whose slots they are.
        change: waits until anything has happened.
        wake: looks for work to start.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        core: SchedulerCore,
        change: Callable[[], Awaitable[None]],
        wake: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._core = core
        self._change = change
        self._wake = wake
        self._clock = clock

    def hold(self, slots: int) -> bool:
        """Take so many if they are free now."""
        return self._core.hold(slots)

    async def take(self, slots: int) -> None:
        """Take so many as soon as what runs has ended; no segment starts before."""
        self._core.want(1)
        try:
            while not self._core.hold(slots):
                await self._change()
        finally:
            self._core.want(-1)
            self._wake()

    async def take_when_idle(self, slots: int, seconds: float) -> None:
        """Take so many once nobody has been here for `seconds`."""
        while not (await self._stays_idle(seconds) and self._core.hold(slots)):
            await self._change()

    def let_go(self, slots: int) -> None:
        """Give them back."""
        self._core.let_go(slots)
        self._wake()

    async def _stays_idle(self, seconds: float) -> bool:
        until = self._clock() + seconds
        while (rest := until - self._clock()) > 0:
            try:
                async with asyncio.timeout(rest):
                    await self._change()
            except TimeoutError:
                break
            if not self._core.idle:
                until = self._clock() + seconds
        return self._core.idle
