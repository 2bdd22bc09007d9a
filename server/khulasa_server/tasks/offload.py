"""Keeps what takes long off the event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

P = ParamSpec("P")
R = TypeVar("R")

INLINE_CODE_POINTS = 600
"""Up to a long sentence, planning takes less than the hop to a thread and back is worth."""


class Offload:
    """Runs pure functions over text where they disturb nobody."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def over(
        self, code_points: int, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """`function(*args)`: here for a short text, in a thread for a long one."""
        if code_points <= INLINE_CODE_POINTS:
            return function(*args, **kwargs)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: function(*args, **kwargs))
