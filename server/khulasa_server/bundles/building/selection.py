"""The vocabulary a bundle gets, and the tokenizer files that go with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from khulasa_server.bundles.building import pieces, trimming, vocabulary
from khulasa_server.bundles.errors import BuildError
from khulasa_server.bundles.manifest import Architecture
from khulasa_server.bundles.store import digest_file

if TYPE_CHECKING:
    from khulasa_server.bundles.building.checkpoint import Checkpoint
    from khulasa_server.bundles.building.trimming import Keep
    from khulasa_server.bundles.building.vocabulary import Vocabularies

SPIECE = "spiece.model"


@dataclass(frozen=True, slots=True)
class Selection:
    """What is read and written, and how text is cut.

    Args:
        vocabularies: pieces with the checkpoint's rows.
        tokenizer: name → content of the SentencePiece models.
        rows_before: of the checkpoint's output layer.
        corpus_sha256: digest of the text that decided; empty where none did.
    """

    vocabularies: Vocabularies
    tokenizer: dict[str, bytes]
    rows_before: int
    corpus_sha256: str = ""

    @property
    def trimmed(self) -> bool:
        """True: rows were left out on either side."""
        both = (self.vocabularies.source, self.vocabularies.target)
        return any(len(side) < self.rows_before for side in both)

    def map_json(self) -> str:
        """The checkpoint's row of every piece, as one compact JSON object."""
        source, target = self.vocabularies.source, self.vocabularies.target
        sides = {"shared": source} if source is target else {"source": source, "target": target}
        return json.dumps({name: side.rows.tolist() for name, side in sides.items()})


def select(checkpoint: Checkpoint, keep: Keep | None, *, full: bool) -> Selection:
    """Choose the pieces of a bundle.

    Args:
        checkpoint: what it is built from.
        keep: what to keep of an mT5 vocabulary; None: everything.
        full: keep both sides' pieces on both sides of a Marian model.

    Raises:
        CheckpointError: a tokenizer file is missing or damaged.
        BuildError: `keep` cannot be done.
    """
    if checkpoint.architecture is Architecture.MARIAN:
        return _marian(checkpoint, keep, full=full)
    model = checkpoint.file(SPIECE).read_bytes()
    everything = vocabulary.mt5(checkpoint)
    before = len(everything.target)
    if keep is None:
        return Selection(everything, {SPIECE: model}, before)
    kept = trimming.select(model, keep)
    corpus = digest_file(keep.corpus).sha256 if keep.corpus else ""
    return Selection(everything.keep(kept), {SPIECE: pieces.only(model, kept)}, before, corpus)


def _marian(checkpoint: Checkpoint, keep: Keep | None, *, full: bool) -> Selection:
    if keep is not None:
        raise BuildError("pieces can be chosen for mT5 only; each side of Marian keeps its own")
    files = {f"{side}.spm": checkpoint.file(f"{side}.spm") for side in ("source", "target")}
    tokenizer = {name: path.read_bytes() for name, path in files.items()}
    chosen = vocabulary.marian(checkpoint, full=full)
    return Selection(chosen, tokenizer, vocabulary.marian_rows(checkpoint))
