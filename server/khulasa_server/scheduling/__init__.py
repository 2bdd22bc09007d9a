"""Admission, queues, batch formation, cost, cache and the arbiter of compute slots."""

from khulasa_server.scheduling.observer import BatchReport, Observer, SilentObserver
from khulasa_server.scheduling.scheduler import Scheduler
from khulasa_server.scheduling.ticket import Ticket
from khulasa_server.scheduling.types import (
    CacheMode,
    CacheResult,
    Coefficients,
    Completion,
    Drop,
    LaneStatistics,
    ModelProfile,
    Priority,
    SchedulerSettings,
    Stage,
    Statistics,
)

__all__ = [
    "BatchReport",
    "CacheMode",
    "CacheResult",
    "Coefficients",
    "Completion",
    "Drop",
    "LaneStatistics",
    "ModelProfile",
    "Observer",
    "Priority",
    "Scheduler",
    "SchedulerSettings",
    "SilentObserver",
    "Stage",
    "Statistics",
    "Ticket",
]
