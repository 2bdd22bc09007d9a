"""A server in its image: as its user, with nothing to write to, asked by the client beside it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.image.chroot import Image, Mount, alone, beside

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

START_SECONDS = 60.0
"""Longest time until the health check passes."""
CALL_SECONDS = 120.0
STOP_SECONDS = 30.0
"""Longest time from SIGTERM to the end while nothing is in flight: 5 s of delay, and closing."""
ARABIC = "كيف حالك؟"
NEWS = "وصل الوزير إلى المدينة صباح اليوم. والتقى عددا من المسؤولين لبحث سبل التعاون بين البلدين."
TRIES = ("/opt/khulasa/x", "/x", "/tmp/x", "/var/tmp/x", "/dev/shm/x")  # noqa: S108 - asked whether they can be


class ProofError(Exception):
    """What is not as claimed, in one sentence."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that runs in its image.

    Args:
        image: what it runs in.
        process: the server itself.
        seconds: from its start until the health check passed.
    """

    image: Image
    process: subprocess.Popen[str]
    seconds: float

    def run(self, words: Sequence[str], text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program of the image beside the server, as its user."""
        return subprocess.run(
            beside(self.process, self.image.inside(words)),
            input=text, check=False, capture_output=True, text=True, timeout=CALL_SECONDS,
        )  # fmt: skip

    def ask(self, task: str, text: str) -> dict[str, Any]:
        """Answer of the server to the client of the image.

        Raises:
            ProofError: there is none.
        """
        done = self.run(["khulasa", task, "--json", "--address", "localhost:50051"], text)
        if done.returncode:
            raise ProofError(f"`khulasa {task}` fails in the image: {done.stderr}")
        found: dict[str, Any] = json.loads(done.stdout)
        if not found["text"].strip():
            raise ProofError(f"`khulasa {task}` answers nothing in the image")
        return found


def prove(image: Image) -> dict[str, Any]:
    """Everything that is claimed about the image that serves.

    Raises:
        ProofError: something is not as claimed.
    """
    harmless(image)
    with running(image) as server:
        started = server.seconds
        answers = {task: server.ask(task, NEWS)["text"] for task in ("translate", "summarize")}
        writable = [each for each in TRIES if not server.run(["touch", each]).returncode]
        if writable != ["/dev/shm/x"]:  # noqa: S108 - what engines mount in memory everywhere
            raise ProofError(f"these can be written: {writable}")
        stopped = stop(server)
        if not healthy(image, server.process):
            return {"healthy_seconds": started, "stop_seconds": stopped, "answers": answers}
    raise ProofError("the health check passes though the server has ended")


def harmless(image: Image) -> None:
    """Look at user, files and packages.

    Raises:
        ProofError: root, a file that anyone may change, or torch.
    """
    uid, _, gid = image.user.partition(":")
    if not (uid.isdecimal() and gid.isdecimal() and int(uid) and int(gid)):
        raise ProofError(f"USER {image.user} is not by number, or is root")
    own = image.root / "opt" / "khulasa"
    for directory, _, names in os.walk(own):
        for status in (os.lstat(os.path.join(directory, name)) for name in [".", *names]):  # noqa: PTH118 - thousands
            loose = status.st_mode & (stat.S_IWOTH | stat.S_ISUID | stat.S_ISGID)
            if status.st_uid or (loose and not stat.S_ISLNK(status.st_mode)):
                raise ProofError(f"a file in {directory} is not root's, or anyone may change it")
    if found := [*own.glob("lib/python*/site-packages/torch"), *own.glob("bin/pip*")]:
        raise ProofError(f"the image that serves holds {found}")


@contextmanager
def running(
    image: Image, more: Mapping[str, str] | None = None, mounts: Sequence[Mount] = ()
) -> Iterator[Running]:
    """A server with a read-only root, once its health check passes; without a network."""
    command = image.inside([*image.entrypoint, *image.command], more)
    begun = time.monotonic()
    with subprocess.Popen(
        alone(command, image.root, mounts),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        said = list[str]()
        reader = threading.Thread(target=lambda: said.extend(process.stderr or ()))
        reader.start()
        try:
            while not healthy(image, process):
                if process.poll() is not None or time.monotonic() - begun > START_SECONDS:
                    raise ProofError("the server does not become healthy: " + "".join(said[-20:]))
                threading.Event().wait(0.2)
            yield Running(image, process, round(time.monotonic() - begun, 2))
        finally:
            process.kill()
            reader.join()


def healthy(image: Image, process: subprocess.Popen[str]) -> bool:
    """Whether the image's own health check passes."""
    if process.poll() is not None:
        command = alone(image.inside(image.healthcheck), image.root)
    else:
        command = beside(process, image.inside(image.healthcheck))
    done = subprocess.run(command, check=False, capture_output=True, timeout=CALL_SECONDS)
    return done.returncode == 0


def stop(server: Running) -> float:
    """Seconds from SIGTERM to a good end.

    Raises:
        ProofError: it ends otherwise, or not at all.
    """
    begun = time.monotonic()
    server.process.terminate()
    try:
        status = server.process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise ProofError(f"the server runs on for {STOP_SECONDS} s after SIGTERM") from error
    if status:
        raise ProofError(f"the server ends with {status} after SIGTERM")
    return round(time.monotonic() - begun, 2)
