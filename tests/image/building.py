"""Builds stages of the Dockerfile without a container engine, step by step, in chroots.

The base image is one that debootstrap makes of the same Debian with the same Python.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from docker.utils.build import exclude_paths
from tests.image.base import ENVIRONMENT, BuildError, made_base, outside, run, say
from tests.image.chroot import Image, alone
from tests.image.recipe import RecipeError, expanded, pairs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.image.recipe import Recipe, Step


class Builder:
    """Builds stages, each once.

    Args:
        recipe: the Dockerfile.
        context: directory that it copies from.
        home: where root directories are made; bases are kept there from run to run.
        given: build arguments.
    """

    def __init__(self, recipe: Recipe, context: Path, home: Path, given: Mapping[str, str]) -> None:
        self._recipe, self._context, self._home, self._given = recipe, context, home, given
        self._built: dict[str, Image] = {}

    def build(self, name: str) -> Image:
        """The image of a stage.

        Raises:
            BuildError: a step fails.
            RecipeError: a step is not understood.
        """
        if name not in self._built:
            stage = self._recipe.stages[name]
            image = self._begin(name, stage.base)
            variables: dict[str, str] = {}
            for step in stage.steps:
                say(f"{name}: {step.name} {' '.join(step.words)[:90]}")
                self._take(step, image, variables)
            self._built[name] = image
        return self._built[name]

    def _begin(self, name: str, base: str) -> Image:
        """A copy of what a stage begins with."""
        if base in self._recipe.stages:
            before = self.build(base)
        else:
            before = Image(made_base(base, self._home / "bases"), dict(ENVIRONMENT))
        root = self._home / "stages" / name
        shutil.rmtree(root, ignore_errors=True)
        root.parent.mkdir(parents=True, exist_ok=True)
        run(["cp", "--archive", "--reflink=auto", str(before.root), str(root)])
        return Image(
            root, dict(before.environment), before.user, before.directory,
            before.entrypoint, before.command, before.healthcheck,
            dict(before.labels), before.ports,
        )  # fmt: skip

    def _take(self, step: Step, image: Image, variables: dict[str, str]) -> None:
        """One step: on the files, or on how they are run."""
        known = variables | image.environment
        match step.name:
            case "ARG":
                name, _, default = step.words[0].partition("=")
                value = self._given.get(
                    name, self._recipe.arguments.get(name, expanded(default, known))
                )
                # Without a value it is not set at all, which programs tell from empty.
                variables |= {name: value} if value else {}
            case "RUN":
                self._run(step, image, variables)
            case "COPY":
                self._copy(step, image, known)
            case _:
                describe(step, image, known)

    def _run(self, step: Step, image: Image, variables: Mapping[str, str]) -> None:
        words = list(step.words) if step.exec_form else ["/bin/sh", "-c", *step.words]
        environment, mounts = outside()
        command = image.inside(words, {**environment, **variables})
        run(alone(command, image.root, mounts, writable=True, network=True))

    def _copy(self, step: Step, image: Image, known: Mapping[str, str]) -> None:
        *sources, target = (expanded(word, known) for word in step.words)
        destination = image.root / Path(image.directory, target).relative_to("/")
        if stage := step.flags.get("from"):
            root = self.build(stage).root
            found = {source: root / source.lstrip("/") for source in sources}
        else:
            found = {source: self._context / source for source in sources}
        for source, path in found.items():
            into = (
                destination / path.name if target.endswith("/") and path.is_file() else destination
            )
            chosen = None if stage else self._admitted(source)
            copy(path, into, chosen)

    def _admitted(self, source: str) -> list[str]:
        """Files below a source that .dockerignore lets in, relative to the context.

        Raises:
            BuildError: it lets none in.
        """
        patterns = (self._context / ".dockerignore").read_text("utf-8").splitlines()
        patterns = [each for each in patterns if each and not each.startswith("#")]
        names = exclude_paths(str(self._context / "."), patterns)
        found = [each for each in names if each == source or each.startswith(f"{source}/")]
        if not found:
            raise BuildError(f".dockerignore leaves nothing of {source}, which is copied")
        return [str(Path(each).relative_to(source)) for each in found]


def copy(path: Path, into: Path, chosen: Sequence[str] | None) -> None:
    """Copy a directory's content or a file, owned by root; of a directory only what is chosen."""
    if path.is_dir() and chosen is None:
        into.mkdir(parents=True, exist_ok=True)
        run(["cp", "--archive", "--no-target-directory", str(path), str(into)])
        run(["chown", "--recursive", "--no-dereference", "0:0", str(into)])
        return
    for name in sorted(chosen or ["."]):
        source, target = path / name, into / name
        if source.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)


def describe(step: Step, image: Image, known: Mapping[str, str]) -> None:
    """A step that changes no file but how programs are run.

    Raises:
        RecipeError: it has a form that is not understood.
    """
    words = step.words
    match step.name:
        case "ENV":
            image.environment |= pairs(words, known)
        case "LABEL":
            image.labels |= pairs(words, known)
        case "USER":
            image.user = expanded(words[0], known)
        case "WORKDIR":
            image.directory = expanded(words[0], known)
            (image.root / image.directory.lstrip("/")).mkdir(parents=True, exist_ok=True)
        case "EXPOSE":
            image.ports = words
        case "ENTRYPOINT" if step.exec_form:
            image.entrypoint, image.command = words, ()
        case "CMD" if step.exec_form:
            image.command = words
        case "HEALTHCHECK" if step.exec_form and words[0] == "CMD":
            image.healthcheck = words[1:]
        case _:
            raise RecipeError(f"line {step.line}: only the exec form is understood")
