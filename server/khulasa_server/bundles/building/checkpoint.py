"""A checkpoint in Hugging Face layout, read from a local directory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from khulasa_server.bundles.building.weights import Weights, weight_files
from khulasa_server.bundles.errors import CheckpointError
from khulasa_server.bundles.manifest import Architecture

if TYPE_CHECKING:
    from pathlib import Path

Settings = dict[str, Any]
"""What a configuration file of a checkpoint holds."""


@dataclass(frozen=True)
class Checkpoint:
    """What the authors published, or what looks like it.

    Args:
        directory: where its files are.
        architecture: its family.
        config: `config.json`.
        generation_config: `generation_config.json`; empty where there is none.
        tokenizer_config: `tokenizer_config.json`; empty where there is none.
    """

    directory: Path
    architecture: Architecture
    config: Settings
    generation_config: Settings
    tokenizer_config: Settings

    @cached_property
    def weights(self) -> Weights:
        """Its tensors; the files are opened at first use."""
        return Weights(weight_files(self.directory))

    def file(self, name: str) -> Path:
        """Path of a file that has to be there.

        Raises:
            CheckpointError: it is not.
        """
        path = self.directory / name
        if not path.is_file():
            raise CheckpointError(f"{self.directory} lacks {name}")
        return path


def read(directory: Path) -> Checkpoint:
    """Read the configuration of a checkpoint and look which family it is of.

    Raises:
        CheckpointError: a file is missing or damaged, or the family is not served.
    """
    config = _settings(directory / "config.json")
    if not config:
        raise CheckpointError(f"{directory} is no checkpoint: it has no config.json")
    kind = config.get("model_type")
    if kind not in set(Architecture):
        served = " and ".join(Architecture)
        raise CheckpointError(f"{directory} holds a {kind!r} model; {served} can be built")
    return Checkpoint(
        directory=directory,
        architecture=Architecture(kind),
        config=config,
        generation_config=_settings(directory / "generation_config.json"),
        tokenizer_config=_settings(directory / "tokenizer_config.json"),
    )


def _settings(path: Path) -> Settings:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is damaged: it holds no object")
    return content
