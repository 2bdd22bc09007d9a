"""Every object of every way to install is one that Kubernetes accepts and that is meant."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]  # ships neither annotations nor stubs
import kubernetes_validate  # type: ignore[import-untyped]  # the same
import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
MATRIX = sorted((HERE / "matrix").glob("*.yaml"))
OLDEST, NEWEST = "1.30.0", "1.37.0"
IMAGE_VOLUMES = "1.33.0"
"""The first version that can run what `image-*` asks for."""

Object = dict[str, Any]

each_way = pytest.mark.parametrize("values", MATRIX, ids=lambda path: path.stem)


def oldest_for(values: Path) -> str:
    """The oldest supported Kubernetes that these values can be installed on."""
    return IMAGE_VOLUMES if values.stem.startswith("image") else OLDEST


def invalid(object_: Object, version: str) -> str:
    """What is wrong with an object; empty: nothing."""
    name = "{}-{}.json".format(object_["apiVersion"].replace("/", "-"), object_["kind"])
    own = HERE / "schemas" / name
    try:
        if own.is_file():
            jsonschema.validate(object_, json.loads(own.read_text("utf-8")))
        else:
            kubernetes_validate.validate(object_, version, strict=True)
    except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
        return f"{object_['kind']} {'.'.join(map(str, error.path))}: {error.message}"
    return ""


def pods(objects: list[Object]) -> Iterator[Object]:
    """Every pod specification: of Deployments, Jobs and lone pods."""
    for each in objects:
        if each["kind"] == "Pod":
            yield each["spec"]
        elif each["kind"] in {"Deployment", "Job"}:
            yield each["spec"]["template"]["spec"]


@each_way
@pytest.mark.parametrize("age", ["oldest", "newest"])
def test_kubernetes_accepts_every_object(
    values: Path, age: str, render: Callable[..., Any]
) -> None:
    """Every object fits the strict schema of the oldest and the newest supported Kubernetes."""
    version = NEWEST if age == "newest" else oldest_for(values)
    objects = render(values, kubernetes=version).objects
    assert not [fault for each in objects if (fault := invalid(each, version))]


def test_a_wrong_object_is_told(render: Callable[..., Any]) -> None:
    """The check above finds a misspelt field, in Kubernetes' objects and in others."""
    release = render(HERE / "matrix" / "image-keda-route.yaml")
    for kind in ("Deployment", "ServiceMonitor", "ScaledObject", "GRPCRoute", "PrometheusRule"):
        wrong = release.one(kind)
        wrong["spec"]["misspelt"] = 1
        assert "misspelt" in invalid(wrong, NEWEST)


@each_way
def test_pods_fulfil_the_restricted_standard(values: Path, render: Callable[..., Any]) -> None:
    """No pod asks for more than the restricted Pod Security Standard allows."""
    found = list(pods(render(values).objects))
    assert found
    assert not [fault for pod in found for fault in unrestricted(pod)]


# As kubernetes' own admission has it: images since 1.33, from which on the chart uses them.
ALLOWED_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image",
    "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip


def unrestricted(pod: Object) -> Iterator[str]:
    """What the restricted standard forbids in a pod, and writing to the image besides."""
    context = pod["securityContext"]
    for forbidden in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(forbidden):
            yield forbidden
    if not context["runAsNonRoot"] or context.get("runAsUser") == 0:
        yield "runAsNonRoot"
    if context["seccompProfile"]["type"] not in {"RuntimeDefault", "Localhost"}:
        yield "seccompProfile"
    for volume in pod["volumes"]:
        if not set(volume) - {"name"} <= ALLOWED_VOLUMES:
            yield f"volume {volume['name']}"
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        yield from unrestricted_container(container)


def unrestricted_container(container: Object) -> Iterator[str]:
    """What the restricted standard forbids in a container, and writing to the image besides."""
    context = container["securityContext"]
    if context["allowPrivilegeEscalation"] or context.get("privileged"):
        yield "privileges"
    if context["capabilities"]["drop"] != ["ALL"] or "add" in context["capabilities"]:
        yield "capabilities"
    if not context["readOnlyRootFilesystem"]:
        yield "readOnlyRootFilesystem"
    if any("hostPort" in port for port in container.get("ports", [])):
        yield "hostPort"


@each_way
def test_no_pod_gets_what_it_does_not_need(values: Path, render: Callable[..., Any]) -> None:
    """No pod has a token of the cluster or variables of other Services; each has its limits."""
    release = render(values)
    for account in release.all("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
    for pod in pods(release.objects):
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert "memory" in container["resources"]["limits"]
            assert "cpu" in container["resources"]["requests"]


@each_way
def test_selectors_find_the_server_and_nothing_else(
    values: Path, render: Callable[..., Any]
) -> None:
    """Services, budget and policy select pods of the server, and no pod of a Job or test."""
    release = render(values)
    deployment = release.one("Deployment")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    selectors = [deployment["selector"]["matchLabels"]]
    selectors += [each["spec"]["selector"] for each in release.all("Service")]
    budgets = release.all("PodDisruptionBudget")
    selectors += [each["spec"]["selector"]["matchLabels"] for each in budgets]
    policies = release.all("NetworkPolicy")
    selectors += [each["spec"]["podSelector"]["matchLabels"] for each in policies]

    others = [each["metadata"]["labels"] for each in release.all("Pod")]
    others += [each["spec"]["template"]["metadata"]["labels"] for each in release.all("Job")]
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert not any(selector.items() <= other.items() for other in others)
        # A selector cannot be changed, so nothing that changes may be in it.
        assert not {"helm.sh/chart", "app.kubernetes.io/version"} & selector.keys()


@each_way
def test_names_are_unique_and_short_enough(values: Path, render: Callable[..., Any]) -> None:
    """No two objects of a kind share a name, and every name is one a label may have."""
    objects = render(values).objects
    names = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 63 for _, name in names)
    assert {each["metadata"]["namespace"] for each in objects} == {"news"}


@each_way
def test_a_release_looks_as_it_was_agreed(values: Path, render: Callable[..., Any]) -> None:
    """Rendered objects equal the golden ones; KHULASA_UPDATE_GOLDEN=1 writes those anew."""
    golden = HERE / "golden" / values.name
    text = yaml.safe_dump_all(map(brief, render(values).objects), allow_unicode=True, width=100)
    if os.environ.get("KHULASA_UPDATE_GOLDEN"):
        golden.write_text(text, "utf-8")
    before = golden.read_text("utf-8").splitlines() if golden.is_file() else []
    assert list(difflib.unified_diff(before, text.splitlines(), lineterm="")) == []


def brief(object_: Object) -> Object:
    """An object with what has tests of its own left out: rules and dashboard."""
    if object_["kind"] == "PrometheusRule":
        object_["spec"]["groups"] = [group["name"] for group in object_["spec"]["groups"]]
    for name, content in object_.get("data", {}).items():
        if len(content) > 1000:
            object_["data"][name] = hashlib.sha256(content.encode()).hexdigest()
    return object_


def test_every_golden_release_has_its_values() -> None:
    """No golden file is left from values that are gone."""
    golden = {path.name for path in (HERE / "golden").glob("*.yaml")}
    assert golden == {path.name for path in MATRIX}
