"""The Dockerfile as steps, read by the parser of Docker's own builder.

What is not understood is refused, so that a proof cannot pass over it.
"""

from __future__ import annotations

import re
import shlex
import string
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import dockerfile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

UNDERSTOOD = frozenset(
    ("ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "RUN", "USER")
) | {"WORKDIR"}
FLAGS = {"COPY": {"from"}, "HEALTHCHECK": {"interval", "timeout", "start-period", "retries"}}
"""Flags that mean something here, by step."""
BASE = re.compile(
    r"python:(?P<version>3\.\d+)(\.\d+)?-slim-(?P<suite>[a-z]+)(@sha256:[0-9a-f]{64})?"
)


class RecipeError(Exception):
    """What in the Dockerfile is not understood."""


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction after FROM.

    Args:
        name: in capitals.
        words: what follows; variables are not replaced yet.
        flags: without their dashes.
        exec_form: whether the words are a JSON list, which no shell reads.
        line: where it begins.
    """

    name: str
    words: tuple[str, ...]
    flags: Mapping[str, str]
    exec_form: bool
    line: int


@dataclass(slots=True)
class Stage:
    """One FROM with its steps.

    Args:
        base: an earlier stage, or an image.
        steps: in order.
    """

    base: str
    steps: list[Step] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A Dockerfile.

    Args:
        arguments: those before the first FROM, as they were given or by default.
        stages: by name, in order; the last is what is built when none is named.
    """

    arguments: Mapping[str, str]
    stages: Mapping[str, Stage]


def read(path: Path, given: Mapping[str, str]) -> Recipe:
    """Read a Dockerfile.

    Args:
        path: of the file.
        given: build arguments, which win over defaults.

    Raises:
        RecipeError: something in it is not understood.
    """
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    for command in dockerfile.parse_file(str(path)):
        if command.cmd == "FROM":
            base, name = origin(command.value, command.start_line)
            stages[name] = Stage(expanded(base, arguments))
        elif stages:
            list(stages.values())[-1].steps.append(step(command))
        else:
            name, _, default = command.value[0].partition("=")
            arguments[name] = given.get(name, expanded(default, arguments))
    return Recipe(arguments, stages)


def origin(words: tuple[str, ...], line: int) -> tuple[str, str]:
    """What a FROM begins with, and the name it gives.

    Raises:
        RecipeError: it gives none.
    """
    match words:
        case (base, "AS" | "as", name):
            return base, name
    raise RecipeError(f"line {line}: a stage without a name cannot be asked for: {words}")


def step(command: dockerfile.Command) -> Step:
    """One instruction.

    Raises:
        RecipeError: it, or a flag of it, is not understood.
    """
    name = command.cmd
    flags = dict(each.removeprefix("--").partition("=")[::2] for each in command.flags)
    if name not in UNDERSTOOD or not flags.keys() <= FLAGS.get(name, set()):
        raise RecipeError(f"line {command.start_line}: {command.original} is not understood")
    return Step(name, command.value, flags, command.json, command.start_line)


def expanded(word: str, variables: Mapping[str, str]) -> str:
    """A word with its variables replaced and its quotes removed; unknown ones are empty.

    Raises:
        ValueError: it has a `$` that is no plain variable.
    """
    known: defaultdict[str, str] = defaultdict(str, variables)
    return " ".join(shlex.split(string.Template(word).substitute(known)))


def pairs(words: tuple[str, ...], variables: Mapping[str, str]) -> dict[str, str]:
    """Names and values of an ENV or a LABEL."""
    return {
        name: expanded(value, variables)
        for name, value in zip(words[::2], words[1::2], strict=True)
    }
