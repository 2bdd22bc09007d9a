"""Pods as processes: a container's command, environment and mounts, without a container."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.chart.releases import Release

Object = dict[str, Any]
Secrets = dict[str, dict[str, bytes]]


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
        probe = self.container[f"{name}Probe"]
        return self.get(probe["httpGet"]["path"], probe["timeoutSeconds"])[0]

    def get(self, path: str, seconds: float = 30) -> tuple[int, str]:
        """Status and content of a path on the HTTP port; 0: nobody answers in time."""
        try:
            with urllib.request.urlopen(f"http://{self.metrics}{path}", timeout=seconds) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            error.close()
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
    """Runs containers as processes; Secrets and claims become directories.

    Args:
        home: where they are.
        secrets: of the namespace.
    """

    def __init__(self, home: Path, secrets: Secrets) -> None:
        self._home, self._secrets = home, secrets
        self._numbers = count()

    def claim(self, name: str) -> Path:
        """Directory that stands in for the volume of a PersistentVolumeClaim."""
        directory = self._home / "claims" / name
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def start(self, release: Release, grpc: str, metrics: str) -> Pod:
        """Start the rendered server with ports of its own."""
        ports = {"KHULASA_LISTEN": grpc, "KHULASA_METRICS_LISTEN": metrics}
        process = self.run(release.pod, release.server, release.settings | ports)
        return Pod(release.server, process, metrics)

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
        spec = release.one("Pod")["spec"]
        address = {"KHULASA_ADDRESS": f"dns:///localhost:{port}"}
        process = self.run(spec, spec["containers"][0], address)
        output, _ = process.communicate(timeout=100)
        return process.returncode, output

    def run(
        self, pod: Object, container: Object, environment: Mapping[str, str]
    ) -> subprocess.Popen[str]:
        """Start a container of a pod, with this environment besides its own."""
        mounts = self._mounts(pod, container)
        mounted = re.compile("|".join(rf"(?<![\w.-]){re.escape(path)}(?=/)" for path in mounts))

        def here(text: str) -> str:
            return mounted.sub(lambda found: mounts[found[0]], text)

        own = {each["name"]: self._value(each) for each in container.get("env", [])}
        given = {name: here(value) for name, value in (own | dict(environment)).items()}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return subprocess.Popen(
            [here(word) for word in container["command"]],
            env=given | {"PATH": path, "OMP_NUM_THREADS": "1", "LANG": "C.UTF-8"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def _value(self, variable: Object) -> str:
        """Value of a variable, from a Secret if it says so."""
        if "value" in variable:
            return str(variable["value"])
        key = variable["valueFrom"]["secretKeyRef"]
        return self._secrets[key["name"]][key["key"]].decode()

    def _mounts(self, pod: Object, container: Object) -> dict[str, str]:
        """Path in the container → path of the directory that stands in for it."""
        volumes = {each["name"]: each for each in pod["volumes"]}
        home = self._home / str(next(self._numbers))
        return {
            mount["mountPath"]: str(self._directory(home, volumes[mount["name"]]))
            for mount in container["volumeMounts"]
        }

    def _directory(self, home: Path, volume: Object) -> Path:
        """Directory that stands in for a volume."""
        if claim := volume.get("persistentVolumeClaim"):
            return self.claim(claim["claimName"])
        directory = Path(home, volume["name"])
        directory.mkdir(parents=True)
        if secret := volume.get("secret"):
            content = self._secrets[secret["secretName"]]
            items = secret.get("items") or [{"key": key, "path": key} for key in content]
            for item in items:
                if item["key"] in content or not secret.get("optional"):
                    (directory / item["path"]).write_bytes(content[item["key"]])
        return directory
