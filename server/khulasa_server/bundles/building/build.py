"""A bundle from a checkpoint on disk: convert, describe, record golden outputs, seal."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from khulasa_server.bundles import canary
from khulasa_server.bundles.building import checkpoint as checkpoints
from khulasa_server.bundles.building import describe, marian, mt5, network
from khulasa_server.bundles.building.selection import select
from khulasa_server.bundles.building.staging import staged
from khulasa_server.bundles.building.tools import require
from khulasa_server.bundles.errors import BuildError, CheckpointError, DiskFullError
from khulasa_server.bundles.manifest import (
    MANIFEST_NAME,
    MODEL_DIRECTORY,
    Architecture,
    Manifest,
    Quantization,
)
from khulasa_server.bundles.store import Bundle, load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from khulasa_server.bundles.building.checkpoint import Checkpoint
    from khulasa_server.bundles.building.describe import BuildOptions, Origin
    from khulasa_server.bundles.building.vocabulary import Vocabularies

OptionsT = TypeVar("OptionsT")

_BYTES = {Quantization.INT8: 1, Quantization.BFLOAT16: 2, Quantization.FLOAT32: 4}
"""Of one number in the weights; what else is in a bundle is small."""


@dataclass(frozen=True, slots=True)
class Recorder(Generic[OptionsT]):
    """What records golden outputs.

    Args:
        open: loads a model from a bundle's directory; told the manifest as far as it is known.
        greedy: options with one beam and at most 16 tokens, nothing banned.
    """

    open: Callable[[Path, Manifest], canary.Subject[OptionsT]]
    greedy: OptionsT


def build(
    origin: Origin,
    output: Path,
    options: BuildOptions,
    recorder: Recorder[OptionsT],
    say: Callable[[str], None] = lambda _: None,
) -> Bundle:
    """Build a bundle; `output` appears whole or not at all.

    Args:
        origin: the checkpoint.
        output: directory to make.
        options: what the caller decides.
        recorder: how golden outputs are made.
        say: told each step as it begins.

    Raises:
        OutputExistsError: `output` is there already.
        DiskFullError: there is no room for it.
        BuildError: the checkpoint cannot be built; nothing is left behind.
    """
    with staged(output) as stage:
        say(f"reading {origin.directory}")
        source = checkpoints.read(origin.directory)
        selection = select(source, options.keep, full=options.full_vocabulary)
        _refuse_full_disk(source, options.quantization, stage)
        say(f"converting to {options.quantization}")
        model = stage / MODEL_DIRECTORY
        parameters = _convert(source, selection.vocabularies, options.quantization, model)
        draft = describe.draft(
            stage,
            source,
            selection=selection,
            parameters=parameters,
            origin=origin,
            options=options,
        )
        say("recording golden outputs")
        manifest = _with_golden(stage, draft, recorder).sealed()
        (stage / MANIFEST_NAME).write_text(manifest.to_json(), "utf-8")
    return load(output)


def _refuse_full_disk(source: Checkpoint, quantization: Quantization, stage: Path) -> None:
    numbers = sum(math.prod(source.weights.size(name)) for name in source.weights)
    needed, free = numbers * _BYTES[quantization], shutil.disk_usage(stage).free
    if needed > free:
        raise DiskFullError(
            f"the bundle needs up to {needed:,} bytes and {stage.parent} has room for {free:,}"
        )


def _convert(
    source: Checkpoint, vocabularies: Vocabularies, quantization: Quantization, directory: Path
) -> int:
    family = marian if source.architecture is Architecture.MARIAN else mt5
    if quantization is Quantization.BFLOAT16:
        require("torch")
    try:
        spec = family.specification(source, vocabularies)
        spec.validate()
        spec.optimize(quantization=quantization.value)
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"{source.directory} does not fit its config.json: {error}"
        ) from error
    directory.mkdir()
    spec.save(str(directory))
    return network.parameters(spec)


def _with_golden(stage: Path, draft: Manifest, recorder: Recorder[OptionsT]) -> Manifest:
    engine = recorder.open(stage, draft)
    lines = canary.golden_lines(min(draft.source_language_codes, key=lambda code: code != "ar"))
    token = next(iter(draft.target_tokens.values()), "")
    try:
        golden = canary.record(engine, lines, recorder.greedy, target_token=token)
    finally:
        engine.close()
    if len(golden) < canary.GOLDEN_FEWEST:
        raise BuildError(
            f"only {len(golden)} golden inputs have at most 32 pieces: is the tokenizer right?"
        )
    return draft.model_copy(update={"golden": golden})
