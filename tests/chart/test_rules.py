"""Recording and alerting rules: each alert fires when it should and only then."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from khulasa_server.observability.metrics import Metrics

ROOT = Path(__file__).parents[2]
RULES = sorted((ROOT / "helm" / "khulasa" / "files").glob("*-rules.yaml"))
CASES = Path(__file__).parent / "rules_test.yaml"
NAME = re.compile(r"\b(?:grpc|khulasa)[_:][a-z0-9_:]+\b")


@pytest.fixture(scope="module")
def promtool() -> str:
    """The checker that belongs to Prometheus."""
    unpacked = ROOT / "build" / "tools" / "prometheus" / "usr" / "bin" / "promtool"
    found = shutil.which("promtool") or (str(unpacked) if unpacked.is_file() else "")
    if not found:
        pytest.skip("promtool is missing: run tests/tools/install_prometheus.py")
    return found


def rules() -> list[dict[str, Any]]:
    """Every rule of every file."""
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def expectations() -> list[dict[str, Any]]:
    """Every expectation about an alert in the test cases."""
    cases = yaml.safe_load(CASES.read_text())["tests"]
    return [expected for case in cases for expected in case["alert_rule_test"]]


def run(*command: str) -> str:
    """What a command says; it must succeed."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rules_are_valid(promtool: str) -> None:
    """Prometheus accepts every rule file."""
    assert len(RULES) == 2
    run(promtool, "check", "rules", *map(str, RULES))


def test_the_rules_do_what_the_cases_say(promtool: str) -> None:
    """Over invented series, each alert fires and stays silent as the cases expect."""
    run(promtool, "test", "rules", str(CASES))


@pytest.mark.parametrize("alert", [rule["alert"] for rule in rules() if "alert" in rule])
def test_every_alert_is_seen_firing_and_silent(alert: str) -> None:
    """No alert is without a case in which it fires and one in which it does not."""
    mine = [bool(each["exp_alerts"]) for each in expectations() if each["alertname"] == alert]
    assert set(mine) == {True, False}


def test_no_case_is_about_an_alert_that_is_gone() -> None:
    """Promtool passes a case about an alert that does not exist; this does not."""
    named = {rule["alert"] for rule in rules() if "alert" in rule}
    assert {each["alertname"] for each in expectations()} == named


def test_rules_ask_for_what_the_server_shows() -> None:
    """Every metric that a rule reads is one of the server's or recorded by another rule."""
    shown = {family.name for family in Metrics("1", CollectorRegistry()).registry.collect()}
    suffixes = ("", "_total", "_bucket", "_sum", "_count")
    known = {name + suffix for name in shown for suffix in suffixes}
    known |= {rule["record"] for rule in rules() if "record" in rule}
    known |= {"grpc_service", "grpc_method", "grpc_type", "grpc_code"}

    asked = {name for rule in rules() for name in NAME.findall(rule["expr"])}
    assert asked <= known
