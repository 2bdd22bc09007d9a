"""Asking the scheduler for room."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from khulasa_server.scheduling.scheduler import Scheduler
    from khulasa_server.scheduling.ticket import Ticket
    from khulasa_server.scheduling.types import Stage
    from khulasa_server.tasks.values import Options


async def admitted(
    scheduler: Scheduler, stages: Sequence[Stage], options: Options, deadline: float
) -> Ticket:
    """A ticket for all stages: at once or not at all, or, for the patient, when there is room.

    Raises:
        OverloadedError, DeadlineError, UnavailableError: as `Scheduler.admit` does.
    """
    if options.patient:
        return await scheduler.admit_bulk(stages, deadline=deadline)
    return scheduler.admit(stages, priority=options.priority, deadline=deadline)
