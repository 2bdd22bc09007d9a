"""Times, threads and sizes that depend on each other, read from the rendered objects."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from khulasa_server.config import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
DEFAULTS = yaml.safe_load((ROOT / "helm/khulasa/values.yaml").read_text("utf-8"))
MATRIX = sorted((Path(__file__).parent / "matrix").glob("*.yaml"))
SURPLUS = 10
"""Seconds beyond delay and grace: an engine ends its batch, ports close."""
DNS_SECONDS = 30
"""Clients built on gRPC's C core ask DNS again at most this often."""

each_way = pytest.mark.parametrize("values", MATRIX, ids=lambda path: path.stem)


def read(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What the server makes of its environment."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return Settings()


def allowance(probe: dict[str, Any]) -> int:
    """Seconds that a probe may fail."""
    seconds: int = probe["periodSeconds"] * probe["failureThreshold"]
    return seconds


@each_way
def test_graces_are_as_long_as_what_they_wait_for(
    values: Path, render: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod is killed after its drain; a drain and an old connection outlast every call."""
    release = render(values)
    settings = read(release.settings, monkeypatch)
    drain = settings.drain_delay + settings.drain_grace
    assert release.pod["terminationGracePeriodSeconds"] >= drain + SURPLUS
    assert settings.drain_grace >= settings.max_deadline
    assert settings.max_connection_age_grace >= settings.max_deadline
    assert settings.default_deadline <= settings.max_deadline


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ({"drainDelay": 0}, 310),
        ({"drainDelay": 12.5, "drainGrace": 400}, 423),
        ({"maxDeadline": 60, "drainGrace": 60}, 75),
    ],
)
def test_the_termination_grace_follows_the_drain(
    server: dict[str, float], expected: int, render: Callable[..., Any]
) -> None:
    """Delay + grace + 10, rounded up, whatever they are set to."""
    pod = render({"server": server}).pod
    assert pod["terminationGracePeriodSeconds"] == expected


@each_way
def test_the_server_understands_every_setting(
    values: Path, render: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ConfigMap names every setting of the server and no other, with values it accepts."""
    settings = render(values).settings
    assert set(settings) == {f"KHULASA_{name.upper()}" for name in Settings.model_fields}
    assert all(isinstance(value, str) for value in settings.values())
    read(settings, monkeypatch)


def test_the_defaults_are_the_servers_own(
    render: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting that nobody sets is the same in a pod and outside, but for a place to write."""
    own = Settings().model_dump() | {"calibration_file": Path("/tmp/calibration.json")}  # noqa: S108 - the pod's own
    assert read(render().settings, monkeypatch).model_dump() == own


@each_way
def test_probes_ask_the_http_port(values: Path, render: Callable[..., Any]) -> None:
    """Startup and readiness ask /readyz, liveness /livez, on the metrics port: it has no TLS."""
    server = render(values).server
    ports = {port["name"]: port["containerPort"] for port in server["ports"]}
    assert ports == {"grpc": 50051, "metrics": 9464}
    asked = {
        name: server[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")
    }
    assert asked == {
        "startup": {"path": "/readyz", "port": "metrics"},
        "readiness": {"path": "/readyz", "port": "metrics"},
        "liveness": {"path": "/livez", "port": "metrics"},
    }


@pytest.mark.parametrize("seconds", [10, 12, 300, 1801])
def test_a_start_may_take_what_was_said(seconds: int, render: Callable[..., Any]) -> None:
    """The startup probe waits at least as long, by less than one period more."""
    release = render({"startup": {"seconds": seconds}})
    probe = release.server["startupProbe"]
    assert seconds <= allowance(probe) < seconds + probe["periodSeconds"]
    assert release.one("Deployment")["spec"]["progressDeadlineSeconds"] > seconds


@each_way
def test_an_update_waits_for_those_who_look_for_pods(
    values: Path, render: Callable[..., Any]
) -> None:
    """An old pod goes when clients had time to resolve the new one, and none goes before."""
    deployment = render(values).one("Deployment")["spec"]
    assert deployment["minReadySeconds"] >= DNS_SECONDS
    if "rollingUpdate" in deployment["strategy"]:
        assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


@each_way
def test_liveness_is_slower_than_readiness(values: Path, render: Callable[..., Any]) -> None:
    """A busy pod is taken from the balancer long before it is restarted."""
    server = render(values).server
    assert allowance(server["livenessProbe"]) >= 3 * allowance(server["readinessProbe"])


@pytest.mark.parametrize(
    ("resources", "threads"),
    [
        ({"limits": {"cpu": "4"}}, "auto"),
        ({"limits": {"cpu": "4"}, "requests": {"cpu": "1"}}, "auto"),
        ({"requests": {"cpu": "3"}}, "3x1"),
        ({"requests": {"cpu": 2}}, "2x1"),
        ({"requests": {"cpu": "2500m"}}, "2x1"),
        ({"requests": {"cpu": "250m"}}, "1x1"),
        ({"requests": {"cpu": 0.5}}, "1x1"),
    ],
)
def test_threads_follow_the_pods_cpu(
    resources: dict[str, Any], threads: str, render: Callable[..., Any]
) -> None:
    """With a limit the server reads it from its control group; else the request's cores count."""
    assert render({"resources": resources}).settings["KHULASA_THREADS"] == threads


def test_threads_that_are_set_win(render: Callable[..., Any]) -> None:
    """`server.threads` is what the server gets."""
    values = {"server": {"threads": "2x2"}, "resources": {"limits": {"memory": "1Gi"}}}
    assert render(values).settings["KHULASA_THREADS"] == "2x2"


UNITS = {"Mi": 1 << 20, "Gi": 1 << 30}
ROUNDED = 64 << 20
"""Limits are multiples of so many bytes."""


def bytes_of(quantity: str) -> int:
    """A memory quantity in bytes."""
    match = re.fullmatch(r"(\d+)(Mi|Gi)", quantity)
    assert match
    return int(match[1]) * UNITS[match[2]]


@pytest.mark.parametrize(("values", "preset"), [("default", "demo"), ("build", "production")])
def test_memory_has_room_for_the_largest_bundle_twice(
    values: str, preset: str, render: Callable[..., Any]
) -> None:
    """The limit holds what was measured and two more copies, a quarter to spare, and the cache."""
    release = render(next(path for path in MATRIX if path.stem == values))
    resources, cache = release.server["resources"], int(release.settings["KHULASA_CACHE_BYTES"])
    measured = DEFAULTS["models"]["presets"][preset]
    busy, largest = measured["busyMB"] * 1e6, measured["largestMB"] * 1e6
    assert bytes_of(resources["limits"]["memory"]) >= 1.25 * (busy + 2 * largest) + cache
    assert bytes_of(resources["requests"]["memory"]) >= busy + cache
    assert resources["requests"]["cpu"] == str(measured["cores"])
    assert resources["limits"]["cpu"] == str(measured["mostCores"])


def test_the_demonstration_fits_as_the_bundles_are() -> None:
    """The largest embedded bundle is not larger than its preset says."""
    sizes = [
        sum(file.stat().st_size for file in bundle.rglob("*") if file.is_file())
        for bundle in (ROOT / "server/khulasa_server/bundles/demo").iterdir()
        if (bundle / "manifest.json").is_file()
    ]
    assert max(sizes) <= DEFAULTS["models"]["presets"]["demo"]["largestMB"] * 1e6


@pytest.mark.parametrize(
    ("change", "more"),
    [
        ({"server": {"cacheBytes": 67_108_864 + (1 << 30)}}, 1 << 30),
        ({"server": {"maxConnections": 1_000 + (1 << 14)}}, 1 << 30),
        ({"models": {"presets": {"demo": {"largestMB": 11 + 400}}}}, 10**9),
        ({"models": {"presets": {"demo": {"busyMB": 244 + 800}}}}, 10**9),
    ],
)
def test_memory_follows_what_takes_it(
    change: dict[str, Any], more: int, render: Callable[..., Any]
) -> None:
    """A larger cache, more connections or larger models raise the limit by as much."""
    before, after = (
        bytes_of(render(values).server["resources"]["limits"]["memory"]) for values in ({}, change)
    )
    assert abs(after - before - more) <= ROUNDED


def test_autoscalers_look_at_interactive_work_alone(render: Callable[..., Any]) -> None:
    """Bulk work fills its own queue by design: no autoscaler reads it."""
    (metric,) = render({"autoscaling": {"mode": "hpa"}}).one("HorizontalPodAutoscaler")["spec"][
        "metrics"
    ]
    assert metric["pods"]["metric"] == {
        "name": "khulasa_queue_estimated_seconds",
        "selector": {"matchLabels": {"priority": "interactive"}},
    }
    assert metric["pods"]["target"] == {"type": "AverageValue", "averageValue": "3000m"}

    keda = {"mode": "keda", "keda": {"prometheusAddress": "http://prometheus:9090"}}
    release = render({"autoscaling": keda})
    (trigger,) = release.one("ScaledObject")["spec"]["triggers"]
    assert 'khulasa_queue_estimated_seconds{namespace="news",' in trigger["metadata"]["query"]
    assert 'priority="interactive"' in trigger["metadata"]["query"]
    # What the query calls `job` is what the ServiceMonitor makes of it.
    assert release.one("ServiceMonitor")["spec"]["jobLabel"] == "app.kubernetes.io/instance"
    job = release.one("Service", "-headless")["metadata"]["labels"]["app.kubernetes.io/instance"]
    assert f'job="{job}"' in trigger["metadata"]["query"]


@pytest.mark.parametrize("mode", ["none", "hpa", "keda"])
def test_one_thing_decides_how_many_pods(mode: str, render: Callable[..., Any]) -> None:
    """The Deployment names replicas if and only if no autoscaler does; never two autoscalers."""
    keda = {"prometheusAddress": "http://prometheus:9090"}
    release = render({"autoscaling": {"mode": mode, "keda": keda}})
    assert ("replicas" in release.one("Deployment")["spec"]) == (mode == "none")
    assert len(release.all("HorizontalPodAutoscaler")) == (mode == "hpa")
    assert len(release.all("ScaledObject")) == (mode == "keda")


def test_a_changed_setting_changes_the_pods(render: Callable[..., Any]) -> None:
    """The environment is read at the start, so its checksum is in the pods' template."""

    def checksum(values: dict[str, Any]) -> str:
        found: str = render(values).one("Deployment")["spec"]["template"]["metadata"][
            "annotations"
        ]["checksum/config"]
        return found

    changed = {
        checksum({}),
        checksum({"server": {"queueSeconds": 11}}),
        checksum({"replicaCount": 9}),
    }
    assert len(changed) == 2
