"""What is known of a model before it is converted: its name, terms, languages and sizes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from khulasa_server.bundles.building import card as cards
from khulasa_server.bundles.building.languages import canonical
from khulasa_server.bundles.building.profiles import profile_of
from khulasa_server.bundles.building.vocabulary import TARGET_TOKEN
from khulasa_server.bundles.errors import BuildError
from khulasa_server.bundles.manifest import Architecture, Source, Task
from khulasa_server.bundles.store import digest_file

if TYPE_CHECKING:
    from typing import Any

    from khulasa_server.bundles.building.checkpoint import Checkpoint
    from khulasa_server.bundles.building.describe import BuildOptions, Origin
    from khulasa_server.bundles.building.selection import Selection
    from khulasa_server.bundles.building.trimming import Keep
    from khulasa_server.bundles.building.vocabulary import Vocabularies

_TASKS = {Architecture.MARIAN: Task.TRANSLATE, Architecture.MT5: Task.SUMMARIZE}


def gather(
    checkpoint: Checkpoint, selection: Selection, origin: Origin, options: BuildOptions
) -> dict[str, Any]:
    """Fields of a manifest that no file of the bundle has to be read for.

    Args:
        checkpoint: what is built.
        selection: what the model reads and writes.
        origin: where the checkpoint came from.
        options: what the caller decides.

    Raises:
        BuildError: licence or languages are neither given nor written in the checkpoint.
    """
    card = cards.metadata(checkpoint.directory / cards.CARD)
    source = _source(checkpoint, card, origin, options)
    vocabularies = selection.vocabularies
    targets = _target_tokens(vocabularies)
    read, written = _languages(checkpoint, card, origin, options, targets)
    return {
        "name": options.name or _slug(origin.name),
        "task": _TASKS[checkpoint.architecture],
        "architecture": checkpoint.architecture,
        "source": source,
        "source_language_codes": read,
        "target_language_codes": written,
        "target_tokens": targets,
        "demonstration": options.demonstration,
        "production_build": options.production_build,
        "quantization": options.quantization,
        "vocabulary_size": len(vocabularies.target),
        "source_vocabulary_size": len(vocabularies.source),
    }


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
