"""Renders the chart with helm itself."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "khulasa"
APIS = ("monitoring.coreos.com/v1", "keda.sh/v1alpha1", "gateway.networking.k8s.io/v1")
"""What a cluster with every operator has besides Kubernetes' own."""
NEWEST = "1.37.0"

Object = dict[str, Any]


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
