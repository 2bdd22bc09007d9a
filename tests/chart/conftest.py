"""Helm, what it renders, and nodes to run that on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.chart.pods import Node, Secrets
from tests.chart.releases import ROOT, Helm, RefusedError, Release

if TYPE_CHECKING:
    from collections.abc import Callable


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
        pytest.skip("helm is missing: run python -m tests.tools.install_helm")
    return Helm(found)


@pytest.fixture(scope="session")
def tools(helm: Helm) -> Path:
    """Directory with kubectl."""
    beside = Path(helm.binary).parent / "kubectl"
    found = str(beside) if beside.is_file() else shutil.which("kubectl")
    if not found:
        pytest.skip("kubectl is missing: run python -m tests.tools.install_helm")
    return Path(found).parent


@pytest.fixture(scope="session")
def render(helm: Helm) -> Callable[..., Release]:
    """Renders the chart: see `Helm.render`."""
    return helm.render


@pytest.fixture(scope="session")
def refusal(helm: Helm) -> Callable[..., str]:
    """Why values are refused; they must be."""

    def ask(values: dict[str, Any], **cluster: Any) -> str:  # noqa: ANN401 - handed on
        with pytest.raises(RefusedError) as caught:
            helm.render(values, **cluster)
        return str(caught.value)

    return ask
