"""The contract cannot change by accident: not its meaning, its comments or its code."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    RunContract = Callable[..., subprocess.CompletedProcess[str]]


def replace(path: Path, old: str, new: str) -> None:
    """Replace one occurrence that must be there."""
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def test_committed_contract_is_sound(proto: Path, run_contract: RunContract) -> None:
    """What is committed is fresh, linted and breaks nobody."""
    result = run_contract(proto, "check", "lint", "breaking")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("translation", "  // The texts: 1", "  reserved 9;\n\n  // The texts: 1"),
        ("translation", "string model = 4;", "string model = 9;"),
        ("common", "int32 start = 1;", "int64 start = 1;"),
        ("translation", "  string text = 1;\n", ""),
        ("common", "  PRIORITY_BULK = 2;", "  PRIORITY_BACKGROUND = 2;"),
        ("model", "rpc GetModel(", "rpc FetchModel("),
        ("summarization", "optional double score = 8;", "double score = 8;"),
        ("translation", "returns (stream StreamT", "returns (StreamT"),
    ],
    ids=["addition", "number", "type", "removal", "value", "rpc", "presence", "streaming"],
)
def test_breaking_changes_are_refused(
    copy: Path, run_contract: RunContract, file: str, old: str, new: str
) -> None:
    """A change that breaks users of the released contract fails; an addition does not."""
    replace(copy / f"khulasa/v1/{file}.proto", old, new)
    result = run_contract(copy, "breaking")
    if "reserved" in new:
        assert result.returncode == 0, result.stderr
    else:
        assert result.returncode == 1
        assert f"khulasa/v1/{file}.proto:" in result.stderr


@pytest.mark.parametrize(
    "comment", ["", "  // buf:lint:ignore COMMENT_FIELD\n"], ids=["missing", "ignored"]
)
def test_field_without_comment_is_refused(
    copy: Path, run_contract: RunContract, comment: str
) -> None:
    """A field without a comment fails the linter, also where a comment asks it to look away."""
    replace(
        copy / "khulasa/v1/common.proto",
        "  int32 end = 2;",
        f"  int32 end = 2;\n\n{comment}  int32 length = 3;",
    )
    result = run_contract(copy, "lint")
    assert result.returncode == 1
    assert '"length" should have a non-empty comment' in result.stderr


def test_format_is_checked(copy: Path, run_contract: RunContract) -> None:
    """A .proto file that the formatter would write otherwise fails the linter."""
    replace(copy / "khulasa/v1/common.proto", "  int32 start = 1;", "    int32 start=1;")
    assert run_contract(copy, "lint").returncode == 1


def test_edited_proto_makes_code_stale(copy: Path, run_contract: RunContract) -> None:
    """A .proto file that was edited without generating is told by the file that is behind."""
    replace(copy / "khulasa/v1/model.proto", "int64 parameters", "int32 parameters")
    result = run_contract(copy, "check")
    assert result.returncode == 1
    assert result.stderr.endswith("stale, run `make proto`: khulasa/v1/model_pb2.py\n")


def test_edited_comment_makes_stubs_stale(copy: Path, run_contract: RunContract) -> None:
    """Comments reach users through the stubs, so their edits count too."""
    replace(copy / "khulasa/v1/common.proto", "Never sent.", "Never seen.")
    result = run_contract(copy, "check")
    assert result.stderr.endswith("stale, run `make proto`: khulasa/v1/common_pb2.pyi\n")


def test_superfluous_code_is_stale(copy: Path, run_contract: RunContract) -> None:
    """Generated code without a .proto file is told."""
    (copy / "khulasa/v1/other_pb2.py").touch()
    result = run_contract(copy, "check")
    assert result.stderr.endswith("stale, run `make proto`: khulasa/v1/other_pb2.py\n")


def test_generate_refreshes(copy: Path, run_contract: RunContract) -> None:
    """After generating, edited contracts are fresh again and superfluous code is gone."""
    replace(copy / "khulasa/v1/model.proto", "int64 parameters", "int32 parameters")
    (copy / "khulasa/v1/other_pb2.py").touch()
    assert run_contract(copy, "generate", "check").returncode == 0


def test_release_accepts_the_change(copy: Path, run_contract: RunContract) -> None:
    """Once released, a breaking change is what later changes are compared with."""
    replace(copy / "khulasa/v1/model.proto", "int64 parameters", "int32 parameters")
    assert run_contract(copy, "breaking").returncode == 1
    assert run_contract(copy, "release", "breaking").returncode == 0


@pytest.mark.parametrize("edited", [False, True])
def test_freshness_without_the_generator(copy: Path, proto: Path, *, edited: bool) -> None:
    """On a Python that the generator has no wheels for, descriptors tell stale code."""
    if edited:
        replace(copy / "khulasa/v1/model.proto", "int64 parameters", "int32 parameters")
    script = f"""
import sys
sys.path.insert(0, {str(proto)!r})
import contract
contract.GENERATOR_PYTHON = "2.0"
sys.argv[1:] = ["check", "--source", {str(copy)!r}]
sys.exit(contract.main())
"""
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == int(edited), result.stderr
    assert "descriptors are compared" in result.stdout
    assert ("khulasa/v1/model.proto" in result.stderr) == edited
