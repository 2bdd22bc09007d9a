"""Text to pieces and back, with sentencepiece alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import sentencepiece

from khulasa_server.engines.base import END, UNKNOWN, EngineError
from khulasa_server.engines.checks import refuse_unencodable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from khulasa_server.bundles.manifest import Manifest
    from khulasa_server.engines.base import Tokens

CONTROL = re.compile(r"▁?(?:</?s>|<(?:pad|unk|blank|extra_id_\d+)>|>>[^<>]+<<)")
"""Pieces that mean something to a model and must never come from a user's text: mT5's own
SentencePiece model matches `<extra_id_0>` in a text, and a run of unknown characters becomes a
piece of its own, whatever it spells."""

_FIRST_BYTE = "<0x00>"


def collapse_whitespace(text: str) -> str:
    r"""Each run of whitespace, line breaks included, as one space; none at either end.

    mT5's card asks for `re.sub(r"\s+", " ", re.sub(r"\n+", " ", text.strip()))`: the same.
    """
    return " ".join(text.split())


class Pieces:
    """The tokenizer of one model; safe to use from several threads at once.

    Args:
        source: SentencePiece model of the input.
        target: SentencePiece model of the output; may be the same file.
        preprocess: done to a text before it is encoded.

    Raises:
        EngineError: a file is missing or no SentencePiece model.
    """

    def __init__(
        self, source: Path, target: Path, preprocess: Callable[[str], str] | None = None
    ) -> None:
        self._source = _processor(source)
        self._target = self._source if source == target else _processor(target)
        self._preprocess = preprocess

    @classmethod
    def of_bundle(cls, directory: Path, manifest: Manifest) -> Pieces:
        """The tokenizer that a manifest describes, its files relative to `directory`."""
        described = manifest.tokenizer
        collapse = described.preprocessing == "collapse_whitespace"
        return cls(
            directory / described.source,
            directory / described.target,
            collapse_whitespace if collapse else None,
        )

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        """Pieces of each text, end of sequence appended; never cut.

        Raises:
            EngineInputError: a text holds a lone surrogate.
        """
        refuse_unencodable(texts)
        return [(*self._encode(text), END) for text in texts]

    def decode(self, outputs: Sequence[Tokens]) -> list[str]:
        """Text of each output, without end of sequence; an unknown piece shows as ` ⁇ `."""
        # One text at a time: for a list, sentencepiece starts a thread a core.
        return [str(self._target.decode(list(output))) for output in outputs]

    def _encode(self, text: str) -> Iterable[str]:
        prepared = self._preprocess(text) if self._preprocess else text
        pieces: list[str] = self._source.encode(prepared, out_type=str)
        if not CONTROL.search("".join(pieces)):
            return pieces
        return self._spelled(pieces)

    def _spelled(self, pieces: Iterable[str]) -> Iterable[str]:
        """The same pieces, those that mean something to the model letter by letter."""
        for piece in pieces:
            if CONTROL.fullmatch(piece):
                for letter in piece:
                    yield from self._letter(letter)
            else:
                yield piece

    def _letter(self, letter: str) -> Iterable[str]:
        source = self._source
        if source.piece_to_id(letter) != source.unk_id():
            return [letter]
        if source.is_byte(source.piece_to_id(_FIRST_BYTE)):
            return [f"<0x{byte:02X}>" for byte in letter.encode()]
        return [UNKNOWN]


def _processor(path: Path) -> sentencepiece.SentencePieceProcessor:
    try:
        return sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        raise EngineError(f"{path} is no SentencePiece model: {error}") from error
