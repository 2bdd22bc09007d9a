"""Programs in a root directory of their own, with what a container engine would mount there.

Mounts live in a namespace of each program and are gone when it ends, however it ends.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


@dataclass(frozen=True, slots=True)
class Mount:
    """A directory or file of this machine that is seen inside.

    Args:
        source: on this machine.
        target: inside.
        writable: or only read.
    """

    source: Path
    target: str
    writable: bool = False


@dataclass(slots=True)
class Image:
    """A root directory, and how to run what is in it.

    Args:
        root: the directory.
        environment: of every program.
        user: `uid:gid`.
        directory: that programs begin in.
        entrypoint: first words of what is run.
        command: the others.
        healthcheck: command that succeeds if all is well.
        labels: what it says about itself.
        ports: that are served.
    """

    root: Path
    environment: dict[str, str]
    user: str = "0:0"
    directory: str = "/"
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    healthcheck: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    ports: tuple[str, ...] = ()

    def inside(self, words: Sequence[str], more: Mapping[str, str] | None = None) -> list[str]:
        """The command that runs these words in the root, as the user, without new privileges."""
        environment = [
            f"{name}={value}" for name, value in {**self.environment, **(more or {})}.items()
        ]
        chroot = ["chroot", f"--userspec={self.user}", "--groups=", str(self.root)]
        start = ["/usr/bin/env", f"--chdir={self.directory}", "-i", *environment]
        return ["setpriv", "--no-new-privs", *chroot, *start, *words]


def alone(
    command: Sequence[str],
    root: Path,
    mounts: Sequence[Mount] = (),
    *,
    writable: bool = False,
    temporary: Sequence[str] = (),
    network: bool = False,
) -> list[str]:
    """The command that runs another one where only its own mounts are seen.

    Args:
        command: what is run, which changes its root itself.
        root: it will change to.
        mounts: of this machine's files.
        writable: whether the root is; if not, only `temporary` and writable mounts are.
        temporary: empty directories in memory.
        network: this machine's; if not, a loopback of its own and nothing else.
    """
    lines = [*prepared(root, mounts, writable=writable, temporary=temporary)]
    if not network:
        lines.append("ip link set lo up")
    script = "\n".join(["set -e", *lines, 'exec "$@"'])
    spaces = ["--mount", *([] if network else ["--net"])]
    return ["unshare", *spaces, "sh", "-c", script, "sh", *command]


def prepared(
    root: Path, mounts: Sequence[Mount], *, writable: bool, temporary: Sequence[str]
) -> Iterator[str]:
    """Lines of a script that mounts everything."""
    here = shlex.quote(str(root))
    yield f"mount --bind {here} {here}"
    yield f"mount -t proc -o nosuid,nodev,noexec proc {here}/proc"
    yield f"mount -t tmpfs -o nosuid,mode=755 dev {here}/dev"
    for device in DEVICES:
        yield f"touch {here}/dev/{device}; mount --bind /dev/{device} {here}/dev/{device}"
    memory = f"{here}/dev/shm"  # noqa: S108 - what every container has
    yield f"mkdir {memory}; mount -t tmpfs -o nosuid,nodev,mode=1777 shm {memory}"
    for mount in mounts:
        yield from attached(root, mount)
    if not writable:
        yield f"mount -o remount,bind,ro {here}"
    for directory in temporary:
        yield f"mount -t tmpfs -o nosuid,nodev,mode=1777 tmp {here}{shlex.quote(directory)}"


def attached(root: Path, mount: Mount) -> Iterator[str]:
    """Lines of a script that mounts one directory or file; what it is mounted on stays behind."""
    source, target = map(shlex.quote, (str(mount.source), f"{root}{mount.target}"))
    if mount.source.is_dir():
        yield f"mkdir -p {target}"
    else:
        yield f"mkdir -p $(dirname {target}); touch {target}"
    yield f"mount --bind {source} {target}"
    if not mount.writable:
        yield f"mount -o remount,bind,ro {target}"


def beside(process: subprocess.Popen[str], command: Sequence[str]) -> list[str]:
    """The command that runs another one where a running one sees its files and network."""
    return ["nsenter", f"--target={process.pid}", "--mount", "--net", *command]
