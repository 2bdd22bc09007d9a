"""The committed golden outputs, which are tested without torch, come from transformers."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from khulasa_server.bundles.store import load
from khulasa_server.engines.transformers import TransformersEngine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    from khulasa_server.bundles.store import Bundle

FAMILIES = ("marian", "mt5")


@pytest.fixture
def fresh(
    goldens: Any,  # noqa: ANN401 - a type of conftest
    built: Callable[[Path, Path], Bundle],
    checkpoints: ModuleType,
    tmp_path: Path,
) -> Callable[[str], Bundle]:
    """The bundle of a committed checkpoint, built now; on request, of a new checkpoint."""

    def convert(family: str) -> Bundle:
        checkpoint = goldens.directory / family / "checkpoint"
        if goldens.renew:
            shutil.rmtree(checkpoint.parent, ignore_errors=True)
            _make(checkpoints, family, checkpoint)
        return built(checkpoint, tmp_path / family)

    return convert


@pytest.mark.parametrize("family", FAMILIES)
def test_committed_goldens_are_what_transformers_writes(
    family: str,
    fresh: Callable[[str], Bundle],
    goldens: Any,  # noqa: ANN401 - a type of conftest
    sentences: list[str],
) -> None:
    """Bundle and outputs are those of the checkpoint; `KHULASA_WRITE_GOLDENS=1` renews them."""
    bundle, directory = fresh(family), goldens.directory / family
    engine = TransformersEngine(directory / "checkpoint", bundle.manifest, threads=1)
    tokens = [*bundle.manifest.target_tokens.values()] or [""]
    now = goldens.content(engine, [*sentences[:12], *sentences[-3:]], tokens)
    if goldens.renew:
        shutil.copytree(bundle.path, directory / "bundle")
        goldens.write(family, now)
    recorded = goldens.recorded(family)
    assert _files(load(directory / "bundle")) == _files(bundle)
    assert recorded["inputs"] == now["inputs"]
    for old, new in zip(recorded["cases"], now["cases"], strict=True):
        assert old["options"] == new["options"]
        assert _outputs(old) == _outputs(new)


def _files(bundle: Bundle) -> dict[str, str]:
    return {name: file.sha256 for name, file in bundle.manifest.files.items()}


def _outputs(case: dict[str, Any]) -> list[tuple[object, ...]]:
    return [
        (
            output["text"],
            output["tokens"],
            output["finish"],
            pytest.approx(output["score"], abs=1e-4),
        )
        for output in case["outputs"]
    ]


def _make(checkpoints: ModuleType, family: str, directory: Path) -> None:
    # Without normalization: its rules would be most of what is committed.
    if family == "marian":
        checkpoints.marian(directory, 9, normalization_rule_name="identity")
    else:
        checkpoints.mt5(directory, 2, tied=False, normalization_rule_name="identity")
