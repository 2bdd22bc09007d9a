"""How many cores this process may use, whatever the host has, and how its threads share them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class _Hierarchy:
    """A mounted tree of control groups that limits CPU time, and this process' place in it."""

    version: int
    mount: Path
    place: PurePosixPath

    def groups(self) -> Iterator[Path]:
        """Directories of the group and of those around it: each may have a quota."""
        for group in (self.place, *self.place.parents):
            yield self.mount / group

    def quotas(self) -> Iterator[float]:
        """Cores granted by each group that has a quota."""
        for group in self.groups():
            quota = _quota_v2(group) if self.version == 2 else _quota_v1(group)  # noqa: PLR2004 - a version
            if quota is not None:
                yield quota


def usable_cores(root: Path = Path("/"), affinity: int | None = None) -> int:
    """Whole cores that this process can keep busy, at least 1.

    The affinity mask and the CPU quotas of its control groups (both versions) bound it; part of
    a core is left out, since a thread that is throttled makes all others wait.

    Args:
        root: where `proc` and `sys` are.
        affinity: cores in the affinity mask; None: ask the system.
    """
    cores = _affinity() if affinity is None else affinity
    quotas = [quota for hierarchy in _hierarchies(root) for quota in hierarchy.quotas()]
    return max(1, min([cores, *map(int, quotas)]))


def wake_patiently() -> bool:
    """Let this thread, and all that it starts from now on, interrupt no other when they wake.

    They wait for their slice instead, a few milliseconds at most. Every call wakes several threads,
    which otherwise take a core from an engine, with what is in its cache. Like this the embedded
    translator writes 2.5 % more at 256 calls at once, and its batches are done 8 % sooner.

    Returns:
        False: the system knows no such policy or does not allow it, or somebody chose another one
        than the usual for this process, which stays.
    """
    if not hasattr(os, "SCHED_BATCH"):
        return False
    try:
        if os.sched_getscheduler(0) != os.SCHED_OTHER:
            return False
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except OSError:
        return False
    return True


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _hierarchies(root: Path) -> Iterator[_Hierarchy]:
    places = dict(_places(root))
    for line in _lines(root / "proc/self/mountinfo"):
        mount, _, kind = line.partition(" - ")
        fields, (file_system, *_, options) = mount.split(), kind.split()
        version = {"cgroup": 1, "cgroup2": 2}.get(file_system)
        if version is None or (version == 1 and "cpu" not in options.split(",")):
            continue
        if version in places:
            place = _inside(places[version], PurePosixPath(fields[3]))
            yield _Hierarchy(version, root / fields[4].lstrip("/"), place)


def _places(root: Path) -> Iterator[tuple[int, PurePosixPath]]:
    """Version of each hierarchy that may limit CPU time → path of this process' group."""
    for line in _lines(root / "proc/self/cgroup"):
        number, controllers, path = line.split(":", 2)
        if number == "0":
            yield 2, PurePosixPath(path)
        elif "cpu" in controllers.split(","):
            yield 1, PurePosixPath(path)


def _inside(path: PurePosixPath, mounted: PurePosixPath) -> PurePosixPath:
    """The group's path below the mount; a container sees its own group as the mount itself."""
    if ".." in path.parts or not path.is_relative_to(mounted):
        return PurePosixPath()
    return path.relative_to(mounted)


def _quota_v2(group: Path) -> float | None:
    match _words(group / "cpu.max"):
        case [quota, period]:
            return _ratio(quota, period)
    return None


def _quota_v1(group: Path) -> float | None:
    match [*_words(group / "cpu.cfs_quota_us"), *_words(group / "cpu.cfs_period_us")]:
        case [quota, period]:
            return _ratio(quota, period)
    return None


def _ratio(quota: str, period: str) -> float | None:
    # No quota is written as `max`, or as -1.
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return None
    return int(quota) / int(period)


def _words(path: Path) -> list[str]:
    return " ".join(_lines(path)).split()


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
