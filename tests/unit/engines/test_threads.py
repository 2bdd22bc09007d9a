"""Usable cores, on trees of files as kernels and containers show them; how threads wake."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from khulasa_server.engines.threads import usable_cores, wake_patiently

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

V2_MOUNT = "30 24 0:26 {root} /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1_MOUNT = "32 31 0:29 {root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"
OTHERS = """\
22 28 0:20 / /sys rw,nosuid - sysfs sysfs rw
33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset
"""

Tree = dict[str, str]


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[Tree], Path]:
    """Writes files below a root."""

    def write(files: Tree) -> Path:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, "utf-8")
        return tmp_path

    return write


def v2(path: str, *, root: str = "/", **quotas: str) -> Tree:
    """A version 2 hierarchy; quotas by group, `/` written as `__`, the mount itself as `top`."""
    files = {
        "proc/self/cgroup": f"0::{path}\n",
        "proc/self/mountinfo": OTHERS + V2_MOUNT.format(root=root) + "\n",
    }
    for group, quota in quotas.items():
        place = "" if group == "top" else group.replace("__", "/") + "/"
        files[f"sys/fs/cgroup/{place}cpu.max"] = quota + "\n"
    return files


def v1(path: str, *, root: str = "/", **quotas: str) -> Tree:
    """A version 1 hierarchy, beside others; quotas as `quota period`."""
    files = {
        "proc/self/cgroup": f"9:name=systemd:/x\n5:cpuset:/y\n2:cpu,cpuacct:{path}\n0::/z\n",
        "proc/self/mountinfo": OTHERS + V1_MOUNT.format(root=root) + "\n",
    }
    for group, quota in quotas.items():
        place = "" if group == "top" else group.replace("__", "/") + "/"
        quota_us, period_us = quota.split()
        base = f"sys/fs/cgroup/cpu,cpuacct/{place}"
        files[f"{base}cpu.cfs_quota_us"] = quota_us + "\n"
        files[f"{base}cpu.cfs_period_us"] = period_us + "\n"
    return files


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        pytest.param({}, 8, id="nothing mounted"),
        pytest.param(v2("/", top="max 100000"), 8, id="v2 without quota"),
        pytest.param(v2("/", top="200000 100000"), 2, id="v2 in a container"),
        pytest.param(v2("/", top="350000 100000"), 3, id="part of a core is left out"),
        pytest.param(v2("/", top="50000 100000"), 1, id="half a core is one"),
        pytest.param(v2("/", top="1600000 100000"), 8, id="quota beyond the mask"),
        pytest.param(v2("/", top="20000 10000"), 2, id="another period"),
        pytest.param(
            v2("/pod/box", pod="200000 100000", pod__box="max 100000"), 2, id="v2 quota above"
        ),
        pytest.param(
            v2("/pod/box", pod="600000 100000", pod__box="400000 100000"), 4, id="least of several"
        ),
        pytest.param(
            v2("/docker/1", root="/docker/1", top="300000 100000"), 3, id="v2, the host's path"
        ),
        pytest.param(v2("/../other", top="300000 100000"), 3, id="v2, outside of the namespace"),
        pytest.param(v2("/gone/away", top="300000 100000"), 3, id="v2, group not visible"),
        pytest.param(v2("/", top="nonsense"), 8, id="v2 unreadable"),
        pytest.param(v2("/", top="100000 0"), 8, id="v2 without period"),
        pytest.param(v1("/", top="-1 100000"), 8, id="v1 without quota"),
        pytest.param(v1("/", top="250000 100000"), 2, id="v1"),
        pytest.param(
            v1("/docker/1", root="/docker/1", top="300000 100000"), 3, id="v1 in a container"
        ),
        pytest.param(
            v1("/pod/box", pod="200000 100000", pod__box="-1 100000"), 2, id="v1 quota above"
        ),
    ],
)
def test_quotas_bound_the_affinity_mask(
    tree: Callable[[Tree], Path], files: Tree, cores: int
) -> None:
    """Of 8 cores in the mask, as many count as every quota on the way up allows."""
    assert usable_cores(tree(files), affinity=8) == cores


def test_the_mask_bounds_the_quota(tree: Callable[[Tree], Path]) -> None:
    """A quota of four cores is worth two on two cores."""
    assert usable_cores(tree(v2("/", top="400000 100000")), affinity=2) == 2


def test_both_versions_count(tree: Callable[[Tree], Path]) -> None:
    """Where both are mounted, the stricter one decides."""
    both = v1("/", top="500000 100000")
    both["proc/self/mountinfo"] += V2_MOUNT.format(root="/") + "\n"
    both["proc/self/cgroup"] = "2:cpu:/\n0::/\n"
    both["sys/fs/cgroup/cpu.max"] = "300000 100000\n"
    assert usable_cores(tree(both), affinity=8) == 3


def test_this_machine_has_a_core() -> None:
    """On the real files, the answer lies between one and the mask."""
    assert 1 <= usable_cores() <= len(os.sched_getaffinity(0))


@pytest.fixture(name="usual")
def fixture_usual() -> Iterator[None]:
    """This thread is scheduled as usual, and keeps its policy afterwards."""
    policy = os.sched_getscheduler(0)
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    yield
    os.sched_setscheduler(0, policy, os.sched_param(0))


def _of_a_new_thread() -> int:
    policies: list[int] = []
    thread = threading.Thread(target=lambda: policies.append(os.sched_getscheduler(0)))
    thread.start()
    thread.join()
    return policies[0]


@pytest.mark.usefixtures("usual")
def test_threads_started_later_wake_patiently_too() -> None:
    """The policy holds for the thread that asks for it and for those that it starts."""
    assert wake_patiently()
    assert os.sched_getscheduler(0) == _of_a_new_thread() == os.SCHED_BATCH


@pytest.mark.usefixtures("usual")
def test_a_policy_that_somebody_chose_stays() -> None:
    """Whoever started the process with another policy had a reason."""
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    assert not wake_patiently()
    assert os.sched_getscheduler(0) == os.SCHED_BATCH


@pytest.mark.usefixtures("usual")
@pytest.mark.parametrize("forbidden", ["", "sched_getscheduler", "sched_setscheduler"])
def test_where_it_cannot_be_had_nothing_changes(
    monkeypatch: pytest.MonkeyPatch, forbidden: str
) -> None:
    """A system without the policy, or one that forbids to ask or to change, serves all the same."""

    def refuse(*_: object) -> None:
        raise PermissionError

    with monkeypatch.context() as patched:
        if forbidden:
            patched.setattr(os, forbidden, refuse)
        else:
            patched.delattr(os, "SCHED_BATCH")
        assert not wake_patiently()
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
