"""SentencePiece models as data: made from pieces, or cut down to some of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from khulasa_server.bundles.building.tools import require
from khulasa_server.bundles.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Kinds of pieces in SentencePiece's own numbering.
NORMAL = 1
UNKNOWN = 2
CONTROL = 3
USER_DEFINED = 4
BYTE = 6

_UNIGRAM = 1


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of a SentencePiece model.

    Args:
        text: what it stands for, `▁` for a space.
        score: log-probability.
        kind: NORMAL, UNKNOWN, CONTROL, USER_DEFINED or BYTE.
    """

    text: str
    score: float
    kind: int = NORMAL


def byte_pieces() -> list[Piece]:
    """The 256 pieces that spell what no other piece can."""
    return [Piece(f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)]


def parse(model: bytes) -> list[Piece]:
    """Pieces of a SentencePiece model by their number.

    Raises:
        CheckpointError: the bytes are no such model.
    """
    return [Piece(piece.piece, piece.score, piece.type) for piece in _proto(model).pieces]


def unigram(pieces: Sequence[Piece], *, byte_fallback: bool = False) -> bytes:
    """A unigram model with these pieces in this order, which changes no character of a text."""
    proto = _protos().ModelProto()
    for piece in pieces:
        proto.pieces.add(piece=piece.text, score=piece.score, type=piece.kind)
    _set_trainer(proto.trainer_spec, [piece.text for piece in pieces], byte_fallback)
    normalizer = proto.normalizer_spec
    normalizer.name = "identity"
    normalizer.add_dummy_prefix = True
    normalizer.remove_extra_whitespaces = True
    normalizer.escape_whitespaces = True
    serialized: bytes = proto.SerializeToString()
    return serialized


def _set_trainer(trainer: Any, texts: list[str], byte_fallback: bool) -> None:  # noqa: ANN401, FBT001 - generated without types
    trainer.model_type = _UNIGRAM
    trainer.vocab_size = len(texts)
    trainer.byte_fallback = byte_fallback
    specials = {"unk_id": "<unk>", "bos_id": "<s>", "eos_id": "</s>", "pad_id": "<pad>"}
    for field, text in specials.items():
        setattr(trainer, field, texts.index(text) if text in texts else -1)


def only(model: bytes, keep: Iterable[int]) -> bytes:
    """The same model with some of its pieces, their order and scores as they were.

    Text is cut into the same pieces wherever all of those are kept: the best way to cut it is
    still there, and no way was added. Numbers of special pieces must not change: keep all
    pieces before the last special one.
    """
    proto = _proto(model)
    kept = [proto.pieces[number] for number in sorted(keep)]
    copies = [type(piece).FromString(piece.SerializeToString()) for piece in kept]
    del proto.pieces[:]
    proto.pieces.extend(copies)
    proto.trainer_spec.vocab_size = len(copies)
    serialized: bytes = proto.SerializeToString()
    return serialized


def _proto(model: bytes) -> Any:  # noqa: ANN401 - generated without types
    protos = _protos()
    try:
        return protos.ModelProto.FromString(model)
    except Exception as error:
        raise CheckpointError(f"no SentencePiece model: {error}") from error


def _protos() -> Any:  # noqa: ANN401 - generated without types
    return require("sentencepiece.sentencepiece_model_pb2")
