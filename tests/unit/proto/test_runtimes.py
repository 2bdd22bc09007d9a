"""One set of generated code serves every runtime that the client allows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

REPOSITORY = Path(__file__).parents[3]
CLIENT = REPOSITORY / "clients" / "python"


def pins(name: str) -> dict[str, str]:
    """Distribution → version of a list of pins, as they are for this Python."""
    lines = (CLIENT / f"{name}.txt").read_text("utf-8").splitlines()
    found = [Requirement(line) for line in lines if not line.startswith("#")]
    here = [pin for pin in found if pin.marker is None or pin.marker.evaluate()]
    return {pin.name: str(pin.specifier).removeprefix("==") for pin in here}


def requirements() -> dict[str, Requirement]:
    """What the client and the contract require from others; the narrower range of the two."""
    found: dict[str, Requirement] = {}
    for path in (REPOSITORY / "proto", CLIENT):
        project = tomllib.loads((path / "pyproject.toml").read_text("utf-8"))["project"]
        extra = project.get("optional-dependencies", {}).get("cli", [])
        for line in [*project["dependencies"], *extra]:
            requirement = Requirement(line)
            found[requirement.name] = requirement
    return {name: found[name] for name in found if not name.startswith("khulasa")}


def floor(requirement: Requirement) -> str:
    """The oldest version that a requirement allows."""
    return next(part.version for part in requirement.specifier if part.operator == ">=")


def test_pins_are_within_what_is_allowed() -> None:
    """The pins of both ends are allowed, and nothing that is required is left out."""
    allowed = requirements()
    for name in ("oldest", "newest"):
        assert pins(name).keys() == allowed.keys()
        assert all(Version(pin) in allowed[key].specifier for key, pin in pins(name).items())


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the floors have no wheels for this Python")
def test_oldest_pins_are_the_floors() -> None:
    """What the client claims to run on at least is what the tests run on."""
    assert pins("oldest") == {name: floor(needed) for name, needed in requirements().items()}


@pytest.mark.parametrize("name", ["oldest", "newest"])
def test_every_stub_works(name: str) -> None:
    """Every message and method is usable, synchronously and not, without a single warning."""
    command = [sys.executable, str(REPOSITORY / "proto" / "environments.py"), name]
    made = subprocess.run(
        [*command, str(CLIENT / f"{name}.txt")], check=True, stdout=subprocess.PIPE, text=True
    )
    script = Path(__file__).with_name("use_every_stub.py")
    done = subprocess.run(
        [made.stdout.strip(), "-W", "error", str(script)],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY / "proto")},
    )
    assert done.returncode == 0, done.stderr
    used = json.loads(done.stdout)
    assert used["methods"] == 7
    assert used["messages"] == 29
    assert {used[key] for key in ("grpcio", "protobuf")} <= set(pins(name).values())
