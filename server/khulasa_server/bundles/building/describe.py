"""The manifest of a bundle, and the files in it that are not weights."""

from __future__ import annotations

import platform
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from khulasa_server.bundles.building import card as cards
from khulasa_server.bundles.building import defaults, diacritics, machine, network
from khulasa_server.bundles.building.languages import canonical
from khulasa_server.bundles.building.profiles import profile_of
from khulasa_server.bundles.building.tools import versions
from khulasa_server.bundles.building.vocabulary import TARGET_TOKEN
from khulasa_server.bundles.errors import BuildError
from khulasa_server.bundles.manifest import (
    MANIFEST_NAME,
    MODEL_DIRECTORY,
    Architecture,
    File,
    Manifest,
    Quantization,
    Source,
    Task,
    Tokenizer,
    Trimming,
)
from khulasa_server.bundles.store import digest_file

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from khulasa_server.bundles.building.checkpoint import Checkpoint
    from khulasa_server.bundles.building.selection import Selection
    from khulasa_server.bundles.building.trimming import Keep
    from khulasa_server.bundles.building.vocabulary import Vocabularies

_TASKS = {Architecture.MARIAN: Task.TRANSLATE, Architecture.MT5: Task.SUMMARIZE}
_TOKENIZERS = {
    Architecture.MARIAN: Tokenizer(source="source.spm", target="target.spm", preprocessing="none"),
    Architecture.MT5: Tokenizer(
        source="spiece.model", target="spiece.model", preprocessing="collapse_whitespace"
    ),
}
_CARD = "README.md"
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
    card = cards.metadata(checkpoint.directory / _CARD)
    name = options.name or _slug(origin.name)
    source = _source(checkpoint, card, origin, options)
    vocabularies = selection.vocabularies
    targets = _target_tokens(vocabularies)
    read, written = _languages(checkpoint, card, origin, options, targets)
    for file, content in selection.tokenizer.items():
        (stage / file).write_bytes(content)
    trimming = _trimming(stage, checkpoint, selection, options)
    tokenizer = _TOKENIZERS[checkpoint.architecture]
    _write_texts(stage, checkpoint, cards.notice(name, source, options.quantization), options)
    return Manifest(
        name=name,
        task=_TASKS[checkpoint.architecture],
        architecture=checkpoint.architecture,
        source=source,
        source_language_codes=read,
        target_language_codes=written,
        target_tokens=targets,
        demonstration=options.demonstration,
        production_build=options.production_build,
        quantization=options.quantization,
        parameters=parameters,
        vocabulary_size=len(vocabularies.target),
        source_vocabulary_size=len(vocabularies.source),
        trimming=trimming,
        limits=defaults.limits(checkpoint),
        generation=defaults.generation(checkpoint),
        tokenizer=tokenizer,
        vowel_marks=diacritics.measure(stage / tokenizer.source, read),
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


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", name.rpartition("/")[2].lower()).strip("-._")[:63]


def _source(
    checkpoint: Checkpoint, card: dict[str, Any], origin: Origin, options: BuildOptions
) -> Source:
    profile = profile_of(origin.repository)
    terms = options.license or (profile.license if profile else "") or cards.license_of(card)
    if not terms:
        raise BuildError(f"{origin.name} does not say its licence: give one with --license")
    return Source(
        repository=origin.name,
        revision=origin.revision or _weights_digest(checkpoint),
        license=terms,
        license_notice=options.license_notice or cards.notice_of(terms),
    )


def _weights_digest(checkpoint: Checkpoint) -> str:
    files = [digest_file(path).sha256 for path in checkpoint.weights.files]
    return "sha256:" + "+".join(files)


def _target_tokens(vocabularies: Vocabularies) -> dict[str, str]:
    matches = (TARGET_TOKEN.fullmatch(piece) for piece in vocabularies.languages)
    return {canonical(found["language"]): found.group() for found in matches if found}


def _languages(
    checkpoint: Checkpoint,
    card: dict[str, Any],
    origin: Origin,
    options: BuildOptions,
    targets: dict[str, str],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    settings, profile = checkpoint.tokenizer_config, profile_of(origin.repository)
    if checkpoint.architecture is Architecture.MT5:
        known = profile.languages if profile else cards.languages_of(card)
        read = _kept(_codes("languages", origin, options.languages, known), options.keep)
        return read, read
    source, target = (
        (str(settings[key]),) if settings.get(key) else () for key in ("source_lang", "target_lang")
    )
    written = _codes("target-languages", origin, options.target_languages, tuple(targets) or target)
    return _codes("languages", origin, options.languages, source), written


def _kept(known: tuple[str, ...], keep: Keep | None) -> tuple[str, ...]:
    """Languages that a model still serves after its vocabulary was cut down to some."""
    if keep is None or not keep.languages:
        return known
    kept = set(map(canonical, keep.languages))
    if not kept & set(known):
        raise BuildError(f"the model knows none of {', '.join(sorted(kept))}")
    return tuple(code for code in known if code in kept)


def _codes(
    flag: str, origin: Origin, given: tuple[str, ...], known: tuple[str, ...]
) -> tuple[str, ...]:
    if not given and not known:
        raise BuildError(f"{origin.name} does not say its languages: give them with --{flag}")
    return tuple(sorted({canonical(code) for code in given or known}))


def _write_texts(stage: Path, checkpoint: Checkpoint, notice: str, options: BuildOptions) -> None:
    (stage / _NOTICE).write_text(notice, "utf-8")
    card = options.model_card or checkpoint.directory / _CARD
    if card.is_file():
        shutil.copyfile(card, stage / _CARD)
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
