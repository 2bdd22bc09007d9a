"""Which pieces of an mT5 vocabulary are kept.

mT5 knows the writing of 101 languages; computing a probability for each of its 250,112 rows is
two thirds of the work of a decoder step, whatever language is written.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sentencepiece

from khulasa_server.bundles.building import pieces
from khulasa_server.bundles.building.pieces import NORMAL
from khulasa_server.bundles.building.scripts import scripts_of, written_in
from khulasa_server.bundles.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from khulasa_server.bundles.building.pieces import Piece

MOST_PIECES = 40_000
"""Pieces kept unless told otherwise: at most."""

_SPACE = "▁"


@dataclass(frozen=True, slots=True)
class Keep:
    """What is kept of a vocabulary.

    Args:
        languages: BCP-47 codes; pieces in their scripts stay.
        corpus: text file whose pieces stay, the frequent ones first.
        most: pieces in all; at least the special ones and bytes stay.
    """

    languages: tuple[str, ...] = ()
    corpus: Path | None = None
    most: int = MOST_PIECES


def select(model: bytes, keep: Keep) -> list[int]:
    """Numbers of the pieces to keep, ascending.

    Special pieces and bytes stay in any case; then, as far as `keep.most` goes: single letters,
    digits and signs; what the corpus uses; the scripts of the languages; Latin. Of equals the
    more probable stay. The least and the most probable piece stay because SentencePiece takes
    the scores of unknown characters and of fixed strings from them.

    Args:
        model: SentencePiece model.
        keep: what to keep.

    Raises:
        BuildError: nothing says what to keep, or not even special pieces fit.
    """
    if not keep.languages and keep.corpus is None:
        raise BuildError("say what to keep: languages, or a corpus")
    known = pieces.parse(model)
    used = _used(model, keep.corpus) if keep.corpus else Counter[int]()
    rank = _Ranking(known, keep.languages)
    ranked = sorted(
        (tier, -used[number], -piece.score, number)
        for number, piece in enumerate(known)
        if (tier := rank.tier(piece, is_used=number in used)) is not None
    )
    needed = sum(tier == 0 for tier, *_ in ranked)
    if needed > keep.most:
        raise BuildError(f"{keep.most} pieces are too few: {needed} are special or bytes")
    return sorted(number for *_, number in ranked[: keep.most])


def _used(model: bytes, corpus: Path) -> Counter[int]:
    processor: Any = sentencepiece.SentencePieceProcessor(model_proto=model)
    counts: Counter[int] = Counter()
    with corpus.open(encoding="utf-8") as lines:
        for line in lines:
            counts.update(processor.encode(" ".join(line.split())))
    return counts


class _Ranking:
    """How much a piece is needed: tiers from 0, which stays in any case."""

    def __init__(self, known: Sequence[Piece], languages: Sequence[str]) -> None:
        scores = [piece.score for piece in known if piece.kind == NORMAL]
        self._extremes = {min(scores), max(scores)}
        scripts = frozenset[str]().union(*map(scripts_of, languages))
        self._common = written_in(frozenset())
        self._own = written_in(scripts - {"Latin"})
        self._latin = written_in(frozenset({"Latin"}))

    def tier(self, piece: Piece, *, is_used: bool) -> int | None:
        """None: it is dropped."""
        if piece.kind != NORMAL or piece.score in self._extremes:
            return 0
        own = bool(self._own.fullmatch(piece.text))
        latin = bool(self._latin.fullmatch(piece.text))
        if (own or latin) and len(piece.text.removeprefix(_SPACE)) <= 1:
            return 1
        if self._common.fullmatch(piece.text):
            return 2
        if is_used:
            return 3
        return 4 if own else 5 if latin else None
