"""Renders the chart with helm itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "khulasa"
APIS = ("monitoring.coreos.com/v1", "keda.sh/v1alpha1", "gateway.networking.k8s.io/v1")
"""What a cluster with every operator has besides Kubernetes' own."""
NEWEST = "1.37.0"

Object = dict[str, Any]
Secrets = dict[str, dict[str, bytes]]


class RefusedError(Exception):
    """What helm said when it refused to render."""


@dataclass(frozen=True)
class Release:
    """Objects of one rendered release."""

    text: str

    @property
    def objects(self) -> list[Object]:
        """Every object, in helm's order; fresh copies."""
        return [each for each in yaml.safe_load_all(self.text) if each]

    def all(self, kind: str) -> list[Object]:
        """Every object of a kind."""
        return [each for each in self.objects if each["kind"] == kind]

    def one(self, kind: str, suffix: str = "") -> Object:
        """The one object of a kind whose name ends so."""
        (found,) = (each for each in self.all(kind) if each["metadata"]["name"].endswith(suffix))
        return found

    @property
    def pod(self) -> Object:
        """Pod specification of the Deployment."""
        spec: Object = self.one("Deployment")["spec"]["template"]["spec"]
        return spec

    @property
    def server(self) -> Object:
        """Container of the server."""
        (container,) = self.pod["containers"]
        found: Object = container
        return found

    @property
    def settings(self) -> dict[str, str]:
        """Environment of the server that comes from the ConfigMap."""
        name = self.one("Deployment")["metadata"]["name"]
        (data,) = (
            each["data"] for each in self.all("ConfigMap") if each["metadata"]["name"] == name
        )
        found: dict[str, str] = data
        return found


@dataclass(frozen=True)
class Helm:
    """The real helm.

    Args:
        binary: its path.
    """

    binary: str

    def run(self, *arguments: str, text: str = "") -> str:
        """What a command of helm says.

        Raises:
            RefusedError: it fails.
        """
        done = subprocess.run(
            [self.binary, *arguments],
            input=text,
            check=False,
            capture_output=True,
            text=True,
            # It lives for a tenth of a second, half of which would go to collecting garbage.
            env=os.environ | {"GOGC": "off"},
        )
        if done.returncode:
            raise RefusedError(done.stderr)
        return done.stdout

    def render(
        self,
        values: Path | Object | None = None,
        *,
        kubernetes: str = NEWEST,
        apis: Sequence[str] = APIS,
    ) -> Release:
        """Render release `gist` in namespace `news`.

        Args:
            values: a file of values, or values.
            kubernetes: version of the cluster.
            apis: what it has besides Kubernetes' own.
        """
        text = (
            values.read_text("utf-8") if isinstance(values, Path) else yaml.safe_dump(values or {})
        )
        return Release(_rendered(self, text, kubernetes, tuple(apis)))


@cache
def _rendered(helm: Helm, values: str, kubernetes: str, apis: tuple[str, ...]) -> str:
    having = [word for api in apis for word in ("--api-versions", api)]
    cluster = ["--namespace", "news", "--kube-version", kubernetes, *having]
    return helm.run("template", "news", str(CHART), *cluster, "--values", "-", text=values)


@dataclass(frozen=True)
class Pod:
    """A server that runs as its Deployment says.

    Args:
        container: of the server.
        process: that stands in for it.
        metrics: address of its HTTP port.
    """

    container: Object
    process: subprocess.Popen[str]
    metrics: str

    def probe(self, name: str) -> int:
        """Status that a probe of the container is answered with; 0: nobody answers."""
        return self.get(self.container[f"{name}Probe"]["httpGet"]["path"])[0]

    def get(self, path: str) -> tuple[int, str]:
        """Status and content of a path on the HTTP port; 0: nobody answers."""
        try:
            with urllib.request.urlopen(f"http://{self.metrics}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""
        except OSError:
            return 0, ""

    def serving(self) -> Object:
        """What the server says when its models are loaded."""
        assert self.process.stdout
        found: Object = json.loads(self.process.stdout.readline())
        return found

    def stop(self, seconds: float) -> int:
        """Exit status after SIGTERM, within so many seconds."""
        self.process.terminate()
        self.process.communicate(timeout=seconds)
        return self.process.returncode


class Node:
    """Runs containers as processes; Secrets become directories.

    Args:
        home: where they are mounted.
        secrets: of the namespace.
    """

    def __init__(self, home: Path, secrets: Secrets) -> None:
        self._home, self._secrets = home, secrets
        self._numbers = count()

    def start(self, release: Release, grpc: str, metrics: str) -> Pod:
        """Start the rendered server with ports of its own."""
        ports = {"KHULASA_LISTEN": grpc, "KHULASA_METRICS_LISTEN": metrics}
        return Pod(release.server, self._run(release.pod, release.settings | ports), metrics)

    @contextmanager
    def serving(self, release: Release) -> Iterator[tuple[Pod, str]]:
        """The rendered server once it serves, with the port for gRPC; then it must end well."""
        pod = self.start(release, "127.0.0.1:0", "127.0.0.1:0")
        try:
            said = pod.serving()
            yield replace(pod, metrics=said["metrics"]), said["grpc"].rpartition(":")[2]
        finally:
            status = pod.stop(60)
        assert status == 0

    def test(self, release: Release, port: str) -> tuple[int, str]:
        """Exit status and output of `helm test`'s pod against a server on this machine."""
        address = {"KHULASA_ADDRESS": f"dns:///localhost:{port}"}
        process = self._run(release.one("Pod")["spec"], address)
        output, _ = process.communicate(timeout=100)
        return process.returncode, output

    def _run(self, pod: Object, environment: dict[str, str]) -> subprocess.Popen[str]:
        """Start the one container of a pod, with this environment besides its own."""
        (container,) = pod["containers"]
        mounts = self._mounts(pod, container)

        def here(text: str) -> str:
            for path, directory in mounts.items():
                text = text.replace(f"{path}/", f"{directory}/")
            return text

        own = {each["name"]: each["value"] for each in container.get("env", [])}
        given = {name: here(value) for name, value in (own | environment).items()}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return subprocess.Popen(
            [here(word) for word in container["command"]],
            env=given | {"PATH": path, "OMP_NUM_THREADS": "1", "LANG": "C.UTF-8"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def _mounts(self, pod: Object, container: Object) -> dict[str, str]:
        """Path in the container → path of the directory that stands in for it."""
        volumes = {each["name"]: each for each in pod["volumes"]}
        home, found = self._home / str(next(self._numbers)), {}
        for mount in container["volumeMounts"]:
            directory = home / mount["name"]
            directory.mkdir(parents=True)
            self._fill(directory, volumes[mount["name"]])
            found[mount["mountPath"]] = str(directory)
        return found

    def _fill(self, directory: Path, volume: Object) -> None:
        if not (secret := volume.get("secret")):
            return
        content = self._secrets[secret["secretName"]]
        items = secret.get("items") or [{"key": key, "path": key} for key in content]
        for item in items:
            if item["key"] in content or not secret.get("optional"):
                (directory / item["path"]).write_bytes(content[item["key"]])


@pytest.fixture
def node(tmp_path: Path) -> Callable[[Secrets], Node]:
    """A node in a namespace with these Secrets."""
    return lambda secrets: Node(tmp_path, secrets)


@pytest.fixture(scope="session")
def helm() -> Helm:
    """The helm that the tests' set-up unpacked, or the machine's."""
    unpacked = ROOT / "build" / "tools" / "helm" / "helm"
    found = str(unpacked) if unpacked.is_file() else shutil.which("helm")
    if not found:
        pytest.skip("helm is missing: run tests/tools/install_helm.py")
    return Helm(found)


@pytest.fixture(scope="session")
def render(helm: Helm) -> Callable[..., Release]:
    """Renders the chart: see `Helm.render`."""
    return helm.render


@pytest.fixture(scope="session")
def refusal(helm: Helm) -> Callable[..., str]:
    """Why values are refused; they must be."""

    def ask(values: Object, **cluster: Any) -> str:  # noqa: ANN401 - handed on
        with pytest.raises(RefusedError) as caught:
            helm.render(values, **cluster)
        return str(caught.value)

    return ask
