"""Models come to the pods in each of the ways that `models.source` names."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

MATRIX = Path(__file__).parent / "matrix"
FAKE_SERVER = """#!/bin/sh
# Stands in for `khulasa-server models …`: notes its arguments, makes what a build would make.
echo "$@" >> "$LOG"
case "$2" in
build) while [ "$1" != --output ]; do shift; done; mkdir "$2" && echo '{}' > "$2/manifest.json" ;;
verify) [ ! -e "$3/damaged" ] ;;
esac
"""
FAKE_SLEEP = """#!/bin/sh
# The time a build takes: each wait makes the next directory that is waited for.
echo "$@" >> "$LOG"
for name in $ABSENT; do
  [ -f "$name/manifest.json" ] || { mkdir -p "$name"; echo '{}' > "$name/manifest.json"; exit; }
done
"""
OTHER_REVISION = "89abcdef0123456789abcdef0123456789abcdef"
OPTIONS = " --quantization int8 --keep-languages ar,en"
REVISION = "0123456789abcdef0123456789abcdef01234567"

Object = dict[str, Any]


class Shell:
    """Runs a container's command with other programs in place of the image's.

    Args:
        home: stands in for the root of the container.
    """

    def __init__(self, home: Path) -> None:
        self.models = home / "models"
        self._bin, self._log = home / "bin", home / "log"
        self.models.mkdir()
        self._bin.mkdir()

    def program(self, name: str, text: str) -> None:
        """Put a program on the path."""
        (self._bin / name).write_text(text, "utf-8")
        (self._bin / name).chmod(0o755)

    def run(self, container: Object, **environment: str) -> int:
        """Exit status of the container's command."""
        command = [word.replace("/models/", f"{self.models}/") for word in container["command"]]
        path = f"{self._bin}:{os.environ['PATH']}"
        environment |= {"PATH": path, "LOG": str(self._log)}
        done = subprocess.run(command, check=False, capture_output=True, env=environment)
        return done.returncode

    def calls(self) -> list[str]:
        """Arguments of each call since the last question, with the container's own paths."""
        text = self._log.read_text("utf-8") if self._log.exists() else ""
        self._log.unlink(missing_ok=True)
        return text.replace(str(self.models), "/models").splitlines()


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell with a fake `khulasa-server`."""
    made = Shell(tmp_path)
    made.program("khulasa-server", FAKE_SERVER)
    return made


def volume(pod: Object) -> Object:
    """The volume with the models, without its name."""
    (found,) = (each for each in pod["volumes"] if each["name"] == "models")
    return {kind: what for kind, what in found.items() if kind != "name"}


def directories(release: Any) -> list[str]:  # noqa: ANN401 - the class is conftest's
    """What the server is told to serve."""
    found: list[str] = release.settings["KHULASA_MODELS"].split(",")
    return found


def build(**item: Any) -> Object:  # noqa: ANN401 - values are anything
    """Values that build one model."""
    items = [{"name": "translator", "source": "opus-mt-ar-en", "revision": REVISION} | item]
    return {"models": {"source": "build", "build": {"image": "builder:1", "items": items}}}


def test_embedded_models_need_nothing(render: Callable[..., Any]) -> None:
    """By default there is no volume of models, no claim, no Job and no waiting."""
    release = render()
    assert [each["name"] for each in release.pod["volumes"]] == ["tmp"]
    assert "initContainers" not in release.pod
    assert release.all("Job") == release.all("PersistentVolumeClaim") == []
    assert release.settings["KHULASA_MODELS"] == ""


def test_a_claim_is_read_only(render: Callable[..., Any]) -> None:
    """With `pvc` the named directories of the claim are served, and nothing writes there."""
    release = render(MATRIX / "volume-tls-tokens-hpa.yaml")
    assert volume(release.pod) == {
        "persistentVolumeClaim": {"claimName": "bundles", "readOnly": True}
    }
    assert directories(release) == ["/models/opus-mt-ar-en", "/models/news/xlsum"]
    mounts = {each["name"]: each for each in release.server["volumeMounts"]}
    assert mounts["models"] == {"name": "models", "mountPath": "/models", "readOnly": True}
    assert release.all("Job") == release.all("PersistentVolumeClaim") == []


def test_an_image_is_a_volume(render: Callable[..., Any]) -> None:
    """With `image` the named directories of the image are served."""
    release = render(MATRIX / "image-keda-route.yaml")
    expected = {"reference": "registry.example/bundles:3", "pullPolicy": "Always"}
    assert volume(release.pod) == {"image": expected}
    assert directories(release) == ["/models/opus-mt-ar-en"]


def test_a_job_builds_what_is_served(render: Callable[..., Any], shell: Shell) -> None:
    """The Job's command builds and verifies each directory that the server is told to serve."""
    release = render(MATRIX / "build.yaml")
    job = release.one("Job")["spec"]["template"]["spec"]
    claim = release.one("PersistentVolumeClaim")["metadata"]["name"]
    assert volume(job) == {"persistentVolumeClaim": {"claimName": claim}}
    assert volume(release.pod) == {"persistentVolumeClaim": {"claimName": claim, "readOnly": True}}

    assert shell.run(job["containers"][0]) == 0
    translator, summarizer = directories(release)
    assert shell.calls() == [
        f"models build opus-mt-ar-en --revision {REVISION} --output {translator}",
        f"models verify {translator}",
        f"models build xlsum --revision {OTHER_REVISION} --output {summarizer}{OPTIONS}",
        f"models verify {summarizer}",
    ]


def test_a_build_goes_on_where_it_stopped(render: Callable[..., Any], shell: Shell) -> None:
    """What is built already is verified only, and the downloads are kept on the volume."""
    release = render(MATRIX / "build.yaml")
    (container,) = release.one("Job")["spec"]["template"]["spec"]["containers"]
    first, second = directories(release)
    (shell.models / Path(first).name).mkdir()
    (shell.models / Path(first).name / "manifest.json").write_text("{}")

    assert shell.run(container) == 0
    called = [" ".join(call.split()[:2]) for call in shell.calls()]
    assert called == ["models verify", "models build", "models verify"]
    assert shell.run(container) == 0
    assert shell.calls() == [f"models verify {first}", f"models verify {second}"]
    home = next(each["value"] for each in container["env"] if each["name"] == "HF_HOME")
    assert home.startswith("/models/")


def test_a_damaged_bundle_fails_the_job(render: Callable[..., Any], shell: Shell) -> None:
    """A bundle that does not verify ends the build with an error."""
    release = render(MATRIX / "build.yaml")
    (container,) = release.one("Job")["spec"]["template"]["spec"]["containers"]
    assert shell.run(container) == 0
    (shell.models / Path(directories(release)[0]).name / "damaged").touch()
    assert shell.run(container) != 0


def test_pods_wait_for_every_model(render: Callable[..., Any], shell: Shell) -> None:
    """The init container ends when the last bundle is there, and at once if all are."""
    release = render(MATRIX / "build.yaml")
    (waiter,) = release.pod["initContainers"]
    shell.program("sleep", FAKE_SLEEP)
    absent = " ".join(str(shell.models / Path(each).name) for each in directories(release))

    assert shell.run(waiter, ABSENT=absent) == 0
    assert shell.calls() == ["5", "5"]
    assert shell.run(waiter, ABSENT=absent) == 0
    assert shell.calls() == []


def test_the_token_of_the_hub_stays_in_its_secret(render: Callable[..., Any]) -> None:
    """The build alone gets the token, by reference; without a Secret there is none."""
    release = render(MATRIX / "build.yaml")
    (container,) = release.one("Job")["spec"]["template"]["spec"]["containers"]
    (token,) = (each for each in container["env"] if each["name"] == "HF_TOKEN")
    assert token["valueFrom"] == {"secretKeyRef": {"name": "hub", "key": "token"}}
    assert "HF_TOKEN" not in str(release.pod)
    assert "HF_TOKEN" not in render(build()).text


@pytest.mark.parametrize(
    "change",
    [
        {"revision": "f" * 40},
        {"quantization": "float32"},
        {"keepLanguages": ["ar"]},
        {"source": "someone/opus-mt-ar-en"},
    ],
)
def test_another_build_is_another_directory_and_job(
    change: Object, render: Callable[..., Any]
) -> None:
    """Whatever changes the content changes the directory, so that a rollback finds its own."""
    before, after = render(build()), render(build(**change))
    assert directories(before) != directories(after)
    names = [each.one("Job")["metadata"]["name"] for each in (before, after)]
    assert len(set(names)) == 2


def test_a_volume_of_one_node_is_mounted_there_alone(render: Callable[..., Any]) -> None:
    """Job and server run on one node, and the old pod goes before the new one comes."""
    release = render(MATRIX / "build-one-node.yaml")
    assert release.one("PersistentVolumeClaim")["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert release.one("Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    templates = [release.one(kind)["spec"]["template"] for kind in ("Job", "Deployment")]
    for template in templates:
        affinity = template["spec"]["affinity"]["podAffinity"]
        (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]
        assert term["topologyKey"] == "kubernetes.io/hostname"
        wanted = term["labelSelector"]["matchLabels"].items()
        assert all(wanted <= each["metadata"]["labels"].items() for each in templates)
    assert "affinity" not in render(MATRIX / "build.yaml").pod


def test_built_models_outlive_the_release(render: Callable[..., Any]) -> None:
    """Uninstalling keeps the claim; a claim of your own is used and none is made."""
    claim = render(build()).one("PersistentVolumeClaim")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    values = build()
    values["models"]["pvc"] = {"existingClaim": "mine"}
    release = render(values)
    assert release.all("PersistentVolumeClaim") == []
    assert volume(release.pod)["persistentVolumeClaim"]["claimName"] == "mine"


def test_an_update_has_time_for_the_build(render: Callable[..., Any]) -> None:
    """A Deployment whose pods wait for a build is not told as failed before the build is."""
    release = render(MATRIX / "build.yaml")
    timeout = release.one("Job")["spec"]["activeDeadlineSeconds"]
    assert release.one("Deployment")["spec"]["progressDeadlineSeconds"] > timeout
