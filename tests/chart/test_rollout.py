"""Starts, drains and rolling updates of rendered pods under load, as a kubelet would see them."""

from __future__ import annotations

import re
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from tests.chart.fleet import Fleet, addresses, handled, load, until

from khulasa_client import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.chart.pods import Pod

    from khulasa_client import Translation

VALUES = {
    "replicaCount": 3,
    "models": {"bundles": ["demo-marian-ar-en"]},
    # As short as the arithmetic allows for: what is proven is the order of things.
    "server": {
        "defaultDeadline": 30,
        "maxDeadline": 30,
        "drainDelay": 1,
        "drainGrace": 30,
        "maxConnectionAgeGrace": 30,
    },
    "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}},
}
IN_FLIGHT = re.compile(r"^khulasa_requests_in_flight\{.*\} (\S+)$", re.MULTILINE)


def in_flight(pod: Pod) -> float:
    """Requests that a pod works on."""
    return sum(map(float, IN_FLIGHT.findall(pod.get("/metrics")[1])))


@pytest.fixture
def fleet(render: Callable[..., Any], node: Callable[..., Any]) -> Iterator[Fleet]:
    """A release without pods."""
    with ExitStack() as stack:
        yield Fleet(node({}), render(VALUES), stack)


def test_probes_tell_starting_serving_and_draining_apart(fleet: Fleet) -> None:
    """Alive throughout; ready after the models are proven and, under load, until SIGTERM."""
    (address,) = addresses(1)
    pod, kubelet = fleet.start(address)
    until(lambda: pod.probe("liveness") == 200, 60, "the first port")
    assert pod.probe("startup") == 503
    assert not kubelet.ready
    fleet.await_ready(kubelet)

    with load(address) as calls:
        until(lambda: calls.answered >= 5 and len(kubelet.seen["liveness"]) >= 3, 60, "some load")
    assert set(kubelet.seen["readiness"]) == set(kubelet.seen["liveness"]) == {200}

    kubelet.delete()
    pod.process.terminate()
    until(lambda: pod.probe("readiness") == 503, 10, "turning unready")
    assert pod.probe("liveness") == 200
    fleet.drain(pod, kubelet)


def test_a_pod_on_its_way_out_answers_what_it_was_asked(fleet: Fleet) -> None:
    """Calls that come during the delay, and one that outlasts it, are answered; then it ends."""
    (address,) = addresses(1)
    pod, kubelet = fleet.start(address)
    fleet.await_ready(kubelet)
    texts = [f"ذهب الولد رقم {number} إلى المدرسة" for number in range(128)]
    translated: list[Translation] = []

    # Callers that do not watch health: what watches would stop calling at once.
    with Client(address) as patient:
        ask = lambda: translated.extend(patient.translate_many(texts, timeout=30))  # noqa: E731 - one thought
        caller = threading.Thread(target=ask)
        caller.start()
        until(lambda: in_flight(pod) > 0, 60, "the long call")
        with load(address) as calls:
            kubelet.delete()
            pod.process.terminate()
            until(lambda: pod.probe("readiness") == 503, 10, "turning unready")
            assert caller.is_alive()
            before = calls.answered
            until(lambda: calls.answered > before, 10, "an answer during the delay")
            # By now a cluster has taken the pod from its Services: nobody asks any more.
            calls.stop()
        fleet.drain(pod, kubelet)
        caller.join()
    assert len([each for each in translated if each.text]) == len(texts)


@pytest.mark.timeout(300)
def test_a_rolling_update_fails_no_request(fleet: Fleet) -> None:
    """Three pods are replaced, one after the other, under load: every call is answered."""
    old, new = addresses(3), addresses(3)
    before = [fleet.start(address) for address in old]
    for _, kubelet in before:
        fleet.await_ready(kubelet)
    with load("ipv4:" + ",".join([*old, *new])) as calls:
        until(lambda: all(handled(pod) for pod, _ in before), 60, "reaching every pod")
        for (pod, kubelet), address in zip(before, new, strict=True):
            after, its_kubelet = fleet.start(address)
            fleet.await_ready(its_kubelet)
            # What minReadySeconds is for: clients have found the new pod before the old one goes.
            until(lambda: handled(after) > 0, 60, "reaching the new pod")  # noqa: B023 - asked here
            fleet.drain(pod, kubelet)
            assert set(its_kubelet.seen["readiness"]) == {200}
        count = calls.answered
        until(lambda: calls.answered > count + 2, 60, "answers of new pods alone")
