"""What every task works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from khulasa_server.scheduling.scheduler import Scheduler
    from khulasa_server.tasks.catalog import Catalog
    from khulasa_server.tasks.offload import Offload
    from khulasa_server.tasks.watcher import Watcher


@dataclass(frozen=True, slots=True)
class Desk:
    """The one of each that a process has.

    Args:
        catalog: the models.
        scheduler: runs every segment of every request.
        offload: runs what would hold up the event loop.
        watcher: told findings and retries.
        clock: monotonic seconds, the scheduler's.
    """

    catalog: Catalog
    scheduler: Scheduler
    offload: Offload
    watcher: Watcher
    clock: Callable[[], float]
