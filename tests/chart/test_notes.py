"""The commands of NOTES.txt work for the values that were given."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.chart.cluster import BUILT, cluster
from tests.chart.notes import Terminal, commands, notes, parsed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chart.releases import Helm

MATRIX = sorted((Path(__file__).parent / "matrix").glob("*.yaml"))
FILES = ("ca.crt", "client.crt", "client.key", "token")
"""What the client's command takes from the working directory."""

each_way = pytest.mark.parametrize("values", MATRIX, ids=lambda path: path.stem)


@pytest.fixture
def said(helm: Helm, values: Path, tmp_path: Path) -> str:
    """What helm says after installing."""
    return notes(helm, yaml.safe_load(values.read_text("utf-8")) or {}, tmp_path)


@each_way
def test_kubectl_does_what_is_said(
    values: Path, said: str, render: Callable[..., Any], tools: Path, tmp_path: Path
) -> None:
    """Each command of kubectl succeeds, asked of a cluster that has the release's objects."""
    lines = [line for line in commands(said) if line.startswith("kubectl")]
    with cluster(render(values), {"server-tls": {"ca.crt": b"authority"}}) as server:
        terminal = Terminal(tmp_path, tools, server)
        for line in lines:
            # The cluster has no pods to forward to: the command is parsed, its names are below.
            text = terminal.run(parsed(line) if "port-forward" in line else line)
            assert "logs" not in line or text == BUILT
            assert "rollout" not in line or "successfully rolled out" in text
            assert "loadBalancer" not in line or "192.0.2.1" in text
    if "get secret" in said:
        assert (tmp_path / "ca.crt").read_bytes() == b"authority"


@each_way
def test_other_commands_are_understood(
    values: Path, said: str, tools: Path, tmp_path: Path
) -> None:
    """Helm and the client accept theirs, flag by flag."""
    for name in FILES:
        (tmp_path / name).write_text("x")
    terminal = Terminal(tmp_path, tools, "http://127.0.0.1:1")
    lines = [line for line in commands(said) if not line.startswith("kubectl")]
    assert any("| khulasa" in line for line in lines), values
    for line in lines:
        terminal.run(parsed(line))


@each_way
def test_what_is_forwarded_is_there(values: Path, said: str, render: Callable[..., Any]) -> None:
    """The Service to forward to is one of the release, and has the port."""
    ((name, port),) = re.findall(r"port-forward service/(\S+) 50051:(\d+)", said)
    (service,) = (
        each for each in render(values).all("Service") if each["metadata"]["name"] == name
    )
    assert int(port) in {each["port"] for each in service["spec"]["ports"]}
    address = re.findall(r"dns:///(\S+)\.news\.svc:(\d+)", said)
    assert address == [(render(values).one("Service", "-headless")["metadata"]["name"], port)]


@each_way
def test_nothing_is_left_to_fill_in(values: Path, said: str) -> None:
    """No empty value and no template is left in the text."""
    assert "kubectl --namespace news rollout status" in said, values
    assert "<no value>" not in said
    assert "{{" not in said
    assert "--namespace  " not in said
