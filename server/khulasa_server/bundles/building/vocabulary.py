"""Which pieces a model reads and writes, and the checkpoint's row of each."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import sentencepiece

from khulasa_server.bundles.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from khulasa_server.bundles.building.checkpoint import Checkpoint

Rows = npt.NDArray[np.int64]

TARGET_TOKEN = re.compile(r">>(?P<language>[^<>]+)<<")
"""How multilingual Marian models name a target language."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Pieces in the order of a model's rows.

    Args:
        pieces: each different from all others.
        rows: of the checkpoint's matrix, one a piece, ascending.
    """

    pieces: tuple[str, ...]
    rows: Rows

    def __len__(self) -> int:
        return len(self.pieces)

    def only(self, keep: Iterable[str]) -> Vocabulary:
        """The same vocabulary without every other piece, in the same order."""
        kept = frozenset(keep)
        chosen = [index for index, piece in enumerate(self.pieces) if piece in kept]
        return Vocabulary(tuple(self.pieces[index] for index in chosen), self.rows[chosen])


@dataclass(frozen=True, slots=True)
class Vocabularies:
    """What a model reads and writes, and its special pieces.

    Args:
        source: pieces it reads.
        target: pieces it writes; the same object as `source` where they are shared.
        start: piece that decoding starts from.
        end: end of sequence.
        unknown: stands for what is in no piece.
        languages: language token → piece, for models with several targets.
    """

    source: Vocabulary
    target: Vocabulary
    start: str
    end: str
    unknown: str
    languages: tuple[str, ...] = ()

    def keep(self, rows: Sequence[int]) -> Vocabularies:
        """The same with only these rows of a vocabulary that both sides share, ascending."""
        kept = self.source.only(self.source.pieces[row] for row in rows)
        return replace(self, source=kept, target=kept)


def spm_pieces(path: Path) -> tuple[str, ...]:
    """Pieces of a SentencePiece model by their number.

    Raises:
        CheckpointError: the file is none.
    """
    try:
        processor: Any = sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        raise CheckpointError(f"{path} is no SentencePiece model: {error}") from error
    return tuple(processor.id_to_piece(number) for number in range(processor.get_piece_size()))


def marian(checkpoint: Checkpoint, *, full: bool = False) -> Vocabularies:
    """What a Marian model reads and writes.

    The checkpoint has one vocabulary for both sides, or two. Without `full`, the source keeps
    what `source.spm` can produce and the target the pieces of `target.spm`: the others are
    never read, and writing one was never meant. The row decoding starts from stays, since
    fine-tuning may have moved it away from zero; the network bans it as an output.

    Raises:
        CheckpointError: a tokenizer file is missing or damaged, or they do not fit together.
    """
    source, target = _marian_tables(checkpoint)
    start = _piece(target, int(checkpoint.config["decoder_start_token_id"]))
    end = str(checkpoint.tokenizer_config.get("eos_token", "</s>"))
    unknown = str(checkpoint.tokenizer_config.get("unk_token", "<unk>"))
    languages = tuple(piece for piece in source if TARGET_TOKEN.fullmatch(piece))
    read, write = _ordered(source), _ordered(target)
    if not full:
        specials = {end, unknown}
        known = spm_pieces(checkpoint.file("source.spm"))
        read = read.only({*known, *_unknown_runs(read.pieces, known), *languages, *specials})
        write = write.only({*spm_pieces(checkpoint.file("target.spm")), start, *specials})
    for special in (end, unknown):
        if special not in read.pieces or special not in write.pieces:
            raise CheckpointError(f"{checkpoint.directory}: vocab.json lacks {special}")
    return Vocabularies(read, write, start, end, unknown, languages)


def _unknown_runs(pieces: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    """Pieces that the source model produces without knowing them.

    SentencePiece gives a run of letters that it has no piece for as it is; where that happens
    to be a piece of the other side, the shared vocabulary has a row for it, and it is read.
    """
    letters = {piece for piece in known if len(piece) == 1}
    return (piece for piece in pieces if letters.isdisjoint(piece))


def marian_rows(checkpoint: Checkpoint) -> int:
    """Rows of a Marian model's output layer, before anything is left out."""
    return len(_marian_tables(checkpoint)[1])


def _marian_tables(checkpoint: Checkpoint) -> tuple[dict[str, int], dict[str, int]]:
    source = _table(checkpoint.file("vocab.json"))
    if not checkpoint.tokenizer_config.get("separate_vocabs", False):
        return source, source
    return source, _table(checkpoint.file("target_vocab.json"))


def _table(path: Path) -> dict[str, int]:
    try:
        table = json.loads(path.read_bytes())
        if sorted(table.values()) == list(range(len(table))):
            return {str(piece): int(number) for piece, number in table.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    raise CheckpointError(f"{path} is damaged: its numbers are not 0 to {len(table) - 1}")


def _ordered(table: Mapping[str, int]) -> Vocabulary:
    return Vocabulary(tuple(sorted(table, key=table.__getitem__)), np.arange(len(table)))


def _piece(table: Mapping[str, int], number: int) -> str:
    for piece, candidate in table.items():
        if candidate == number:
            return piece
    raise CheckpointError(f"config.json names token {number}; the vocabulary has {len(table)}")


def mt5(checkpoint: Checkpoint) -> Vocabularies:
    """What an mT5 model reads and writes: every row of its embedding.

    Raises:
        CheckpointError: the tokenizer is missing or damaged, or larger than the embedding.
    """
    pieces = spm_pieces(checkpoint.file("spiece.model"))
    size = int(checkpoint.config["vocab_size"])
    if len(pieces) > size:
        raise CheckpointError(
            f"{checkpoint.directory}: spiece.model has {len(pieces)} pieces, the embedding {size}"
        )
    # Rows beyond the tokenizer's pieces are padding of the matrix; they need distinct names.
    padding = tuple(f"<extra_id_{number}>" for number in range(size - len(pieces)))
    both = Vocabulary(pieces + padding, np.arange(size))
    start = int(checkpoint.config.get("decoder_start_token_id", 0))
    end = int(checkpoint.config.get("eos_token_id", 1))
    unknown = str(checkpoint.tokenizer_config.get("unk_token", "<unk>"))
    if unknown not in pieces:
        raise CheckpointError(f"{checkpoint.directory}: spiece.model lacks {unknown}")
    return Vocabularies(both, both, pieces[start], pieces[end], unknown)
