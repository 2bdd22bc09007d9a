"""Pods of a release under load, watched as kubelets watch them."""

from __future__ import annotations

import random
import re
import socket
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from khulasa_client import Client, KhulasaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.chart.pods import Node, Pod
    from tests.chart.releases import Release

HASTE = 10
"""How much more often probes ask here than in a cluster: what is proven is the order of things."""
HANDLED = re.compile(
    r'^grpc_server_handled_total\{grpc_code="OK",grpc_method="Translate",.*\} (\S+)$', re.MULTILINE
)
CALLERS = 2
PACE = 0.002
"""Seconds between two calls of a caller, so that pods that start get a core too."""
SENTENCES = ("كيف حالك اليوم؟", "ذهب الولد إلى المدرسة", "أين يقع المتحف الكبير؟", "شكرا جزيلا لك")


class Kubelet:
    """Asks the probes of one pod as its specification says, only `HASTE` times as often.

    `started`, `ready` and `restarts` are what the node would report; `seen` are the statuses that
    each probe was answered with, in order, 0 where nobody answered in time.

    Args:
        pod: that is watched.
    """

    def __init__(self, pod: Pod) -> None:
        self.started = self.ready = False
        self.restarts: list[str] = []
        self.seen: dict[str, list[int]] = {"startup": [], "readiness": [], "liveness": []}
        self._pod, self._failed = pod, dict.fromkeys(self.seen, 0)
        self._stop = threading.Event()
        self._deleted = False
        self._thread = threading.Thread(target=self._watch)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def delete(self) -> None:
        """From now on the pod is on its way out: only readiness is asked any more."""
        self._deleted = True

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        due = dict.fromkeys(self.seen, time.monotonic())
        while not self._stop.wait(0.01):
            for name in self._asked():
                if time.monotonic() >= due[name]:
                    due[name] = time.monotonic() + self._spec(name)["periodSeconds"] / HASTE
                    self._judge(name, self._pod.probe(name))

    def _asked(self) -> tuple[str, ...]:
        if self._deleted:
            return ("readiness",)
        return ("readiness", "liveness") if self.started else ("startup",)

    def _judge(self, name: str, status: int) -> None:
        """Take one answer: 200 to 399 is a success, and a number of failures in a row counts."""
        self.seen[name].append(status)
        well = 200 <= status < 400
        self._failed[name] = 0 if well else self._failed[name] + 1
        gone = self._failed[name] >= self._spec(name)["failureThreshold"]
        if name == "startup" and well:
            self.started = True
        elif name == "readiness" and (well or gone):
            self.ready = well
        elif gone:
            self.restarts.append(name)

    def _spec(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self._pod.container[f"{name}Probe"]
        return found


class Fleet:
    """Pods of one release.

    Args:
        node: where they run.
        release: what they run.
        stack: ends those that still run.
    """

    def __init__(self, node: Node, release: Release, stack: ExitStack) -> None:
        self._node, self._release, self._stack = node, release, stack

    def start(self, address: str) -> tuple[Pod, Kubelet]:
        """Start a pod with an address for gRPC, and its kubelet."""
        pod = self._node.start(self._release, address, *addresses(1))
        self._stack.enter_context(pod.process)
        kubelet = Kubelet(pod)
        kubelet.start()
        self._stack.callback(pod.process.kill)
        self._stack.callback(kubelet.stop)
        return pod, kubelet

    def await_ready(self, kubelet: Kubelet) -> None:
        """Wait as long as the startup probe does, and for readiness."""
        probe = self._release.server["startupProbe"]
        until(lambda: kubelet.ready, probe["periodSeconds"] * probe["failureThreshold"], "a start")

    def drain(self, pod: Pod, kubelet: Kubelet) -> None:
        """Delete a pod: it must end well by itself within its grace period, never restarted."""
        kubelet.delete()
        assert pod.stop(self._release.pod["terminationGracePeriodSeconds"]) == 0
        kubelet.stop()
        assert kubelet.restarts == []


class Load:
    """Calls of some callers, one after the other each, until it is stopped.

    Args:
        client: that they share.
    """

    def __init__(self, client: Client) -> None:
        self._client, self._stop = client, threading.Event()
        self.failures: list[KhulasaError] = []
        self._answered = [0] * CALLERS
        self._threads = [threading.Thread(target=self._call, args=(i,)) for i in range(CALLERS)]
        for thread in self._threads:
            thread.start()

    @property
    def answered(self) -> int:
        """Calls that were answered."""
        return sum(self._answered)

    def stop(self) -> None:
        """Begin no more calls, and wait for those in flight."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _call(self, caller: int) -> None:
        while not self._stop.wait(PACE):
            try:
                self._client.translate(random.choice(SENTENCES), timeout=30)  # noqa: S311 - any will do
                self._answered[caller] += 1
            except KhulasaError as error:
                self.failures.append(error)


@contextmanager
def load(target: str) -> Iterator[Load]:
    """Calls to a target, of which none may fail."""
    with Client(target) as client:
        calls = Load(client)
        try:
            yield calls
        finally:
            calls.stop()
    assert calls.failures == []


def addresses(number: int) -> list[str]:
    """Addresses like those of pods: an IP each, with a port that was free a moment ago."""
    pick = random.Random()  # noqa: S311 - two runs on one machine must differ
    found = []
    for _ in range(number):
        host = f"127.{pick.randrange(1, 255)}.{pick.randrange(1, 255)}.{pick.randrange(1, 255)}"
        with socket.create_server((host, 0)) as listener:
            found.append(f"{host}:{listener.getsockname()[1]}")
    return found


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Ask again and again, but not for longer than so many seconds."""
    end, pause = time.monotonic() + seconds, threading.Event()
    while not condition():
        assert time.monotonic() < end, f"{what} took more than {seconds} s"
        pause.wait(0.05)


def handled(pod: Pod) -> float:
    """Translations that a pod has answered."""
    return sum(map(float, HANDLED.findall(pod.get("/metrics")[1])))
