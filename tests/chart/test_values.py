"""values.yaml is the source: of schema and README, and of every template's input."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHART = Path(__file__).parents[2] / "helm" / "khulasa"
LINTED = [
    path
    for path in sorted((Path(__file__).parent / "matrix").glob("*.yaml"))
    # It cannot be told that a cluster has KEDA, without which these values are refused.
    if "keda" not in path.stem
]
USE = re.compile(r"\.Values((?:\.[A-Za-z]+)+)")
ALIAS = re.compile(r"\$(\w+) := \.Values((?:\.[A-Za-z]+)+) -")
ONE_NODE = {"accessModes": ["ReadWriteOnce"]}
MUTUAL = {"existingSecret": "s", "clientCASecret": "s"}

Object = dict[str, Any]


def build(**changes: Any) -> Object:  # noqa: ANN401 - values are anything
    """Values that build one model, with changes under `models.build`."""
    item = {"name": "t", "source": "opus-mt-ar-en", "revision": "0" * 40}
    return {"models": {"source": "build", "build": {"image": "b:1", "items": [item]} | changes}}


def leaves(schema: Object, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Paths of the values that have no described parts."""
    for name, each in schema["properties"].items():
        if each.get("additionalProperties") is False and "default" not in each:
            yield from leaves(each, (*path, name))
        elif (*path, name) != ("global",):
            yield ".".join((*path, name))


def used() -> set[str]:
    """Paths of the values that some template names."""
    return {path for file in CHART.glob("templates/**/*.*") for path in named(file.read_text())}


def named(text: str) -> set[str]:
    """Paths of the values that a template names, through the variables it gives them too."""
    text = re.sub(r"\{\{/\*.*?\*/\}\}", "", text, flags=re.DOTALL)
    for define in re.split(r"(?=\{\{- define )", text):
        for variable, path in ALIAS.findall(define):
            text += re.sub(rf"\${variable}\b", f".Values{path}", define)
    return {path.removeprefix(".") for path in USE.findall(text)}


def test_schema_and_readme_are_what_values_say() -> None:
    """Both generated files are fresh."""
    script = CHART / "tools" / "document.py"
    done = subprocess.run(
        [sys.executable, str(script), "--check"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_every_value_is_described() -> None:
    """No leaf is without a sentence, so the README has none without either."""

    def silent(schema: Object) -> Iterator[str]:
        for name, each in schema["properties"].items():
            if "default" in each and not each.get("description"):
                yield name
            elif "default" not in each and "properties" in each:
                yield from silent(each)

    assert list(silent(json.loads((CHART / "values.schema.json").read_text("utf-8")))) == []


def test_every_value_is_used_by_a_template() -> None:
    """No value is there that no template reads."""
    described = set(leaves(json.loads((CHART / "values.schema.json").read_text("utf-8"))))
    assert described - used() == set()


def test_templates_use_only_values_that_exist() -> None:
    """No template reads a value that values.yaml does not have."""
    defaults = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))

    def exists(path: str) -> bool:
        found = defaults
        for name in path.split("."):
            if not isinstance(found, dict) or name not in found:
                return False
            found = found[name]
        return True

    assert [path for path in sorted(used()) if not exists(path)] == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"nonsense": 1}, "'nonsense' not allowed"),
        ({"server": {"drainDelai": 1}}, "'drainDelai' not allowed"),
        ({"models": {"build": {"items": [{"name": "t", "source": "s"}]}}}, "revision"),
        (build(items=[{"name": "t", "source": "s", "revision": "main"}]), "revision"),
        (build(items=[{"name": "t", "source": "s; rm", "revision": "0" * 40}]), "source"),
        ({"models": {"bundles": ["../etc"]}}, "/models/bundles/0"),
        ({"replicaCount": "two"}, "/replicaCount"),
        ({"autoscaling": {"mode": "both"}}, "/autoscaling/mode"),
        ({"podLabels": {"app.kubernetes.io/name": "x"}}, "invalid propertyName"),
    ],
)
def test_the_schema_refuses_what_is_no_value(
    values: Object, said: str, refusal: Callable[..., str]
) -> None:
    """A misspelt name, or a value of another form, is refused with its place."""
    assert said in refusal(values)


@pytest.mark.parametrize(
    ("values", "advice"),
    [
        ({"server": {"maxDeadline": 301}}, "raise drainGrace or lower maxDeadline"),
        ({"server": {"drainGrace": 299}}, "raise drainGrace or lower maxDeadline"),
        ({"server": {"maxConnectionAgeGrace": 299}}, "raise maxConnectionAgeGrace"),
        ({"server": {"defaultDeadline": 301}}, "lower defaultDeadline or raise maxDeadline"),
        ({"server": {"maxCodePoints": 100001}}, "raise maxRequestCodePoints"),
        ({"terminationGracePeriodSeconds": 314}, "set it to 0 to have it computed"),
        ({"autoscaling": {"mode": "hpa", "minReplicas": 9}}, "lower one or raise the other"),
        ({"autoscaling": {"mode": "hpa", "targetQueueSeconds": 10}}, "lower the target"),
        ({"autoscaling": {"mode": "keda"}}, "say where Prometheus is"),
        ({"resources": {"limits": {"memory": "1Gi"}}}, "set resources.limits.cpu"),
        ({"models": {"source": "pvc"}}, "name the directories"),
        ({"models": {"source": "pvc", "bundles": ["a"]}}, "name the claim"),
        ({"models": {"source": "image", "bundles": ["a"]}}, "name the image"),
        ({"models": {"source": "build"}}, "say what to build"),
        (build(image=""), "name an image of the server with the extra `convert`"),
        ({"models": build()["models"] | {"bundles": ["a"]}}, "clear models.bundles"),
        ({"models": build()["models"] | {"source": "embedded"}}, "or clear the items"),
        ({"models": {"pvc": {"existingClaim": "c"}}}, "or clear the claim"),
        ({"models": {"image": {"reference": "b:1"}}}, "or clear the reference"),
        ({"models": build()["models"] | {"pvc": ONE_NODE}}, "set replicaCount to 1"),
        ({"tls": {"clientCASecret": "ca"}}, "name the server's certificate"),
        ({"auth": {"existingSecret": "t"}}, "set tls.existingSecret, or auth.allowPlaintext"),
        ({"auth": {"existingSecret": "t"}, "tls": {"existingSecret": "s"}}, "set test.tokenSecret"),
        ({"tls": MUTUAL}, "set test.clientCertificateSecret"),
        ({"server": {"otlpEndpoint": "http://c:4317"}}, "networkPolicy.egress"),
        ({"grpcRoute": {"enabled": True}}, "name the gateway"),
        ({"extraEnv": [{"name": "KHULASA_THREADS", "value": "9x1"}]}, "change that value instead"),
    ],
)  # fmt: skip
def test_contradictions_say_what_to_change(
    values: Object, advice: str, refusal: Callable[..., str]
) -> None:
    """Values that contradict each other are refused with the values to change."""
    assert advice in refusal(values)


@pytest.mark.parametrize(
    ("values", "cluster", "advice"),
    [
        (
            {"autoscaling": {"mode": "keda", "keda": {"prometheusAddress": "http://p"}}},
            {"apis": ()},
            "install KEDA",
        ),
        (
            {"grpcRoute": {"enabled": True, "parentRefs": [{"name": "edge"}]}},
            {"apis": ()},
            "install the Gateway API",
        ),
        (
            {"models": {"source": "image", "bundles": ["a"], "image": {"reference": "b:1"}}},
            {"kubernetes": "1.32.9"},
            "upgrade to 1.33",
        ),
        ({}, {"kubernetes": "1.29.0"}, "incompatible with Kubernetes v1.29.0"),
    ],
)
def test_what_the_cluster_lacks_is_said(
    values: Object, cluster: Object, advice: str, refusal: Callable[..., str]
) -> None:
    """Values that this cluster cannot fulfil are refused instead of left out."""
    assert advice in refusal(values, **cluster)


@pytest.mark.parametrize("values", LINTED, ids=lambda path: path.stem)
def test_lint_finds_nothing(values: Path, helm: Any) -> None:  # noqa: ANN401 - the class is conftest's
    """`helm lint --strict` passes for each way to install."""
    helm.run("lint", "--strict", "--quiet", str(CHART), "--values", str(values))


def test_the_package_holds_what_is_needed_and_nothing_else(helm: Any, tmp_path: Path) -> None:  # noqa: ANN401 - the same
    """`helm package` takes rules and dashboard along, and leaves the tools behind."""
    helm.run("package", str(CHART), "--destination", str(tmp_path))
    (package,) = tmp_path.glob("*.tgz")
    listing = subprocess.run(["tar", "tzf", package], check=True, capture_output=True, text=True)
    names = set(listing.stdout.split())
    assert {"khulasa/files/dashboard.json", "khulasa/values.schema.json"} <= names
    assert not any("tools/" in name for name in names)
