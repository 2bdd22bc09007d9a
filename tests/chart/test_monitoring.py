"""Monitoring is there where the cluster has it, and is what the operations files say."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
FILES = ROOT / "helm" / "khulasa" / "files"
RULES = [FILES / "recording-rules.yaml", FILES / "alerting-rules.yaml"]
OPERATOR = "monitoring.coreos.com/v1"


def made(release: Any) -> set[str]:  # noqa: ANN401 - the class is conftest's
    """Which of the objects for monitoring there are."""
    kinds = {each["kind"] for each in release.objects} & {"ServiceMonitor", "PrometheusRule"}
    names = {each["metadata"]["name"] for each in release.all("ConfigMap")}
    return kinds | {"dashboard" for name in names if name.endswith("-dashboard")}


def test_a_cluster_without_the_operator_gets_nothing(render: Callable[..., Any]) -> None:
    """The objects appear if and only if the cluster knows their kind."""
    assert made(render(apis=())) == set()
    assert made(render(apis=(OPERATOR,))) == {"ServiceMonitor", "PrometheusRule", "dashboard"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("serviceMonitor", "ServiceMonitor"),
        ("prometheusRule", "PrometheusRule"),
        ("dashboard", "dashboard"),
    ],
)
def test_each_can_be_turned_off(name: str, kind: str, render: Callable[..., Any]) -> None:
    """Turning one off leaves the others."""
    whole = {"ServiceMonitor", "PrometheusRule", "dashboard"}
    assert made(render({"metrics": {name: {"enabled": False}}})) == whole - {kind}


def test_the_rules_arrive_as_they_were_tested(render: Callable[..., Any]) -> None:
    """Rendering changes no rule: what is in braces is Prometheus' own."""
    expected = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    assert render().one("PrometheusRule")["spec"]["groups"] == expected


def test_prometheus_accepts_the_rendered_rules(render: Callable[..., Any], tmp_path: Path) -> None:
    """`promtool check rules` is content with what arrives."""
    unpacked = ROOT / "build" / "tools" / "prometheus" / "usr" / "bin" / "promtool"
    promtool = shutil.which("promtool") or (str(unpacked) if unpacked.is_file() else "")
    if not promtool:
        pytest.skip("promtool is missing: run tests/tools/install_prometheus.py")
    rendered = tmp_path / "rules.yaml"
    rendered.write_text(yaml.safe_dump(render().one("PrometheusRule")["spec"]), "utf-8")
    done = subprocess.run(
        [promtool, "check", "rules", str(rendered)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_arrives_whole(render: Callable[..., Any]) -> None:
    """Grafana gets what is in the file."""
    data = render().one("ConfigMap", "-dashboard")["data"]
    assert json.loads(data["khulasa.json"]) == json.loads((FILES / "dashboard.json").read_text())


def test_prometheus_finds_each_pod_once(render: Callable[..., Any]) -> None:
    """The monitor selects one Service, by a port that it has."""
    release = render()
    monitor = release.one("ServiceMonitor")["spec"]
    wanted = monitor["selector"]["matchLabels"].items()
    (service,) = (
        each for each in release.all("Service") if wanted <= each["metadata"]["labels"].items()
    )
    ports = {port["name"] for port in service["spec"]["ports"]}
    assert {endpoint["port"] for endpoint in monitor["endpoints"]} <= ports
    assert monitor["namespaceSelector"] == {"matchNames": ["news"]}
