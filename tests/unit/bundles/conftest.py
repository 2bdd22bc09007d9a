"""Tiny checkpoints with random weights, and bundles built from them."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import safetensors.numpy

from khulasa_server.bundles import store
from khulasa_server.bundles.building import shapes, synthesize
from khulasa_server.bundles.building.build import Recorder, build
from khulasa_server.bundles.building.describe import BuildOptions, Origin
from khulasa_server.engines.ctranslate2 import CTranslate2Engine
from khulasa_server.engines.proving import GREEDY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from khulasa_server.bundles.manifest import Manifest
    from khulasa_server.bundles.store import Bundle
    from khulasa_server.engines.base import GenerationOptions

SHAPES = {
    "marian": shapes.marian_shape(
        depth=16, layers=1, heads=2, inner=32, pieces_a_side=240, vocabulary=420
    ),
    "mt5": shapes.mt5_shape(
        depth=16, head=8, layers=1, heads=2, inner=32, pieces_known=600, rows=612
    ),
}


def open_bundle(directory: Path, manifest: Manifest) -> CTranslate2Engine:
    """The serving engine, on one thread."""
    return CTranslate2Engine(directory, manifest, workers=1, threads=1)


@pytest.fixture(scope="session")
def recorder() -> Recorder[GenerationOptions]:
    """Records golden outputs with the serving engine."""
    return Recorder(open_bundle, GREEDY)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint of each family; not to be changed."""
    root = tmp_path_factory.mktemp("checkpoints")
    for family, shape in SHAPES.items():
        (root / family).mkdir()
        synthesize.write(root / family, shape, seed=5, name=family)
    return {family: root / family for family in SHAPES}


@pytest.fixture
def checkpoint(checkpoints: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a family's checkpoint that a test may change."""

    def copy(family: str) -> Path:
        return shutil.copytree(checkpoints[family], tmp_path / f"{family}-checkpoint")

    return copy


@pytest.fixture(scope="session")
def make_bundle(recorder: Recorder[GenerationOptions]) -> Callable[..., Bundle]:
    """Builds a bundle; further arguments are build options."""

    def make(directory: Path, output: Path, **options: Any) -> Bundle:  # noqa: ANN401 - passed on
        return build(Origin(directory), output, BuildOptions(**options), recorder)

    return make


@pytest.fixture(scope="session")
def built(
    checkpoints: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
    make_bundle: Callable[..., Bundle],
) -> dict[str, Bundle]:
    """An int8 bundle of each family; not to be changed."""
    root = tmp_path_factory.mktemp("bundles")
    return {family: make_bundle(path, root / family) for family, path in checkpoints.items()}


@pytest.fixture
def bundle(built: dict[str, Bundle], tmp_path: Path) -> Bundle:
    """A copy of the Marian bundle that a test may damage."""
    return store.load(shutil.copytree(built["marian"].path, tmp_path / "bundle"))


@pytest.fixture
def engine_of() -> Iterator[Callable[[Bundle], CTranslate2Engine]]:
    """Loads bundles, and closes them afterwards."""
    engines: list[CTranslate2Engine] = []

    def load(bundle: Bundle) -> CTranslate2Engine:
        engines.append(open_bundle(bundle.path, bundle.manifest))
        return engines[-1]

    yield load
    for engine in engines:
        engine.close()


@pytest.fixture(scope="session")
def edit_json() -> Callable[..., None]:
    """Sets keys of a JSON file; those set to None are removed."""

    def edit(file: Path, **changes: object) -> None:
        content = {**json.loads(file.read_bytes()), **changes}
        kept = {key: value for key, value in content.items() if value is not None}
        file.write_text(json.dumps(kept), "utf-8")

    return edit


@pytest.fixture(scope="session")
def edit_tensors() -> Callable[[Path, Callable[[dict[str, Any]], None]], None]:
    """Changes the tensors of a checkpoint in place."""

    def edit(directory: Path, change: Callable[[dict[str, Any]], None]) -> None:
        file = directory / "model.safetensors"
        tensors = safetensors.numpy.load_file(file)
        change(tensors)
        safetensors.numpy.save_file(tensors, file)

    return edit
