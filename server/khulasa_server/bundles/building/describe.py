"""The manifest of a bundle, and the files in it that are not weights."""

from __future__ import annotations

import platform
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from khulasa_server.bundles.building import card as cards
from khulasa_server.bundles.building import defaults, diacritics, facts, machine, network
from khulasa_server.bundles.building.languages import canonical
from khulasa_server.bundles.building.tools import versions
from khulasa_server.bundles.manifest import (
    MANIFEST_NAME,
    MODEL_DIRECTORY,
    Architecture,
    File,
    Manifest,
    Quantization,
    Tokenizer,
    Trimming,
)
from khulasa_server.bundles.store import digest_file

if TYPE_CHECKING:
    from pathlib import Path

    from khulasa_server.bundles.building.checkpoint import Checkpoint
    from khulasa_server.bundles.building.selection import Selection
    from khulasa_server.bundles.building.trimming import Keep

_TOKENIZERS = {
    Architecture.MARIAN: Tokenizer(source="source.spm", target="target.spm", preprocessing="none"),
    Architecture.MT5: Tokenizer(
        source="spiece.model", target="spiece.model", preprocessing="collapse_whitespace"
    ),
}
_NOTICE = "NOTICE"
_LICENSE = "LICENSE"
_MAP = "kept_pieces.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """What the caller of a build decides; empty fields are read from the checkpoint.

    Args:
        name: of the bundle; empty: the last part of the repository.
        quantization: of the weights.
        license: SPDX identifier.
        license_notice: what a user must know of it, in one sentence.
        languages: BCP-47 codes of the input.
        target_languages: BCP-47 codes of the output.
        full_vocabulary: keep pieces that one side of a Marian model never uses.
        keep: what to keep of an mT5 vocabulary; None: everything.
        demonstration: the model is for show, not for use.
        production_build: command that builds the real model; for demonstrations.
        model_card: Markdown file to use in place of the checkpoint's README.md.
    """

    name: str = ""
    quantization: Quantization = Quantization.INT8
    license: str = ""
    license_notice: str = ""
    languages: tuple[str, ...] = ()
    target_languages: tuple[str, ...] = ()
    full_vocabulary: bool = False
    keep: Keep | None = None
    demonstration: bool = False
    production_build: str = ""
    model_card: Path | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a checkpoint's directory came from.

    Args:
        directory: its files.
        repository: Hub id; empty: the directory's name.
        revision: commit; empty: the digest of its weights.
    """

    directory: Path
    repository: str = ""
    revision: str = ""

    @property
    def name(self) -> str:
        """Hub id, or the directory's name."""
        return self.repository or self.directory.resolve().name


def draft(
    stage: Path,
    checkpoint: Checkpoint,
    *,
    selection: Selection,
    parameters: int,
    origin: Origin,
    options: BuildOptions,
) -> Manifest:
    """Put tokenizers and texts beside the converted model, and describe it all.

    Args:
        stage: the bundle being made; holds the converted model.
        checkpoint: what it is made from.
        selection: what the model reads and writes.
        parameters: numbers in its weights.
        origin: where the checkpoint came from.
        options: what the caller decides.

    Returns:
        The manifest without golden outputs and digest.

    Raises:
        BuildError: licence or languages are neither given nor written in the checkpoint.
    """
    known = facts.gather(checkpoint, selection, origin, options)
    for file, content in selection.tokenizer.items():
        (stage / file).write_bytes(content)
    trimming = _trimming(stage, checkpoint, selection, options)
    tokenizer = _TOKENIZERS[checkpoint.architecture]
    notice = cards.notice(known["name"], known["source"], options.quantization)
    _write_texts(stage, checkpoint, notice, options)
    return Manifest(
        **known,
        parameters=parameters,
        trimming=trimming,
        limits=defaults.limits(checkpoint),
        generation=defaults.generation(checkpoint),
        tokenizer=tokenizer,
        vowel_marks=diacritics.measure(stage / tokenizer.source, known["source_language_codes"]),
        files=_files(stage),
        tools=_tools(),
        cpu=machine.fingerprint(stage / MODEL_DIRECTORY),
        golden=(),
    )


def _trimming(
    stage: Path, checkpoint: Checkpoint, selection: Selection, options: BuildOptions
) -> Trimming | None:
    if not selection.trimmed:
        return None
    (stage / _MAP).write_text(selection.map_json(), "utf-8")
    return Trimming(
        pieces_before=selection.rows_before,
        parameters_before=network.parameters_before(checkpoint.weights),
        map=_MAP,
        languages=tuple(map(canonical, options.keep.languages)) if options.keep else (),
        corpus_sha256=selection.corpus_sha256,
    )


def _write_texts(stage: Path, checkpoint: Checkpoint, notice: str, options: BuildOptions) -> None:
    (stage / _NOTICE).write_text(notice, "utf-8")
    card = options.model_card or checkpoint.directory / cards.CARD
    if card.is_file():
        shutil.copyfile(card, stage / cards.CARD)
    license_text = checkpoint.directory / _LICENSE
    if license_text.is_file():
        shutil.copyfile(license_text, stage / _LICENSE)


def _files(stage: Path) -> dict[str, File]:
    paths = sorted(path for path in stage.rglob("*") if path.is_file())
    return {
        path.relative_to(stage).as_posix(): digest_file(path)
        for path in paths
        if path.name != MANIFEST_NAME
    }


def _tools() -> dict[str, str]:
    names = ("khulasa-server", "ctranslate2", "sentencepiece", "numpy", "safetensors", "torch")
    return {"python": platform.python_version(), **versions(*names)}
