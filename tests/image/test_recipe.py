"""The Dockerfile is read as Docker reads it, whole, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.image.recipe import BASE, Recipe, RecipeError, expanded, pairs, read

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


def parsed(text: str, directory: Path) -> Recipe:
    """A Dockerfile of this text."""
    path = directory / "Dockerfile"
    path.write_text(text, "utf-8")
    return read(path, {})


def words(recipe: Recipe, name: str) -> Iterator[tuple[str, ...]]:
    """What follows each instruction of a name, in every stage."""
    for stage in recipe.stages.values():
        yield from (step.words for step in stage.steps if step.name == name)


def test_our_dockerfile_is_understood_whole() -> None:
    """Nothing in it is beyond the proof; every stage begins with a base or an earlier stage."""
    recipe = read(ROOT / "Dockerfile", {})
    assert list(recipe.stages)[-1] == "server"
    assert "builder" in recipe.stages
    seen: set[str] = set()
    for name, stage in recipe.stages.items():
        assert stage.base in seen or BASE.fullmatch(stage.base)
        seen.add(name)


def test_both_images_are_run_by_a_number_that_is_not_root() -> None:
    """A kubelet can tell that a numeric user is not root."""
    recipe = read(ROOT / "Dockerfile", {})
    assert list(words(recipe, "USER")) == [("65532:65532",)]
    assert recipe.stages["server"].base == recipe.stages["builder"].base == "runtime"
    assert not [step for name in ("server", "builder", "runtime")
                for step in recipe.stages[name].steps if step.name == "RUN"]  # fmt: skip


def test_torch_is_asked_for_by_the_builder_alone() -> None:
    """The stage whose files the server gets installs no extra that needs torch."""
    stages = read(ROOT / "Dockerfile", {}).stages
    installed = {name: str([step.words for step in stage.steps]) for name, stage in stages.items()}
    assert "convert" in installed["converting"]
    assert "convert" not in installed["serving"] + installed["source"]
    (copied,) = (step for step in stages["server"].steps if step.name == "COPY")
    assert copied.flags == {"from": "serving"}


def test_the_base_is_an_argument() -> None:
    """`--build-arg BASE=…` replaces the base of every stage that has one."""
    other = "python:3.12.1-slim-bookworm@sha256:" + "0" * 64
    stages = read(ROOT / "Dockerfile", {"BASE": other}).stages
    assert {stage.base for stage in stages.values()} - stages.keys() == {other}
    assert BASE.fullmatch(other)


@pytest.mark.parametrize(
    "line", ["VOLUME /x", "COPY --chown=1 a b", "RUN --mount=type=cache pip", "ADD a b", "SHELL []"]
)
def test_what_is_not_understood_is_refused(line: str, tmp_path: Path) -> None:
    """An instruction or a flag that the proof would pass over is an error that names its line."""
    with pytest.raises(RecipeError, match="line 2: "):
        parsed(f"FROM python:3.13-slim-trixie AS one\n{line}\n", tmp_path)


def test_a_stage_without_a_name_is_refused(tmp_path: Path) -> None:
    """Stages are asked for by name."""
    with pytest.raises(RecipeError, match="without a name"):
        parsed("FROM python:3.13-slim-trixie\n", tmp_path)


def test_variables_are_replaced_as_docker_does() -> None:
    """With and without braces, quoted or not; an unknown one is empty."""
    assert expanded("/a:$PATH", {"PATH": "/b"}) == "/a:/b"
    assert expanded('"${A} and ${B}"', {"A": "one"}) == "one and "
    assert pairs(("A", '"x y"', "B", "$C"), {"C": "z"}) == {"A": "x y", "B": "z"}
