"""Putting outputs where their sources were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import regex

from khulasa_server.text.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# Neither side of a border in these scripts is parted by a space.
_UNSPACED = regex.compile(
    r"[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}"
    r"\p{Script=Khmer}\p{Script=Myanmar}。、，！？：；「」『』（）]"
)
_CLOSING = regex.compile(r"[\p{Pe}\p{Pf}.,;:!?،؛؟…%]")


@dataclass(frozen=True, slots=True)
class Piece:
    """One output with the whitespace around it that is its to bring.

    Args:
        text: the gap before the output, the output and, for the last one, the trailing gap.
        target: the output's own place in the whole result.
    """

    text: str
    target: Span


@dataclass(frozen=True, slots=True)
class Assembled:
    """A whole result.

    Args:
        text: the outputs with the source's whitespace before, between and after them.
        targets: place of each output in `text`.
    """

    text: str
    targets: tuple[Span, ...]


class Joiner:
    """Builds a result output by output, in the order of the source.

    Whitespace of the source is kept as it is. Where two sources touched (`قال.ثم`, or a word
    cut because it was too long), one space is put between their outputs if both were
    translated, that is, differ from their sources: so a copied list mark or address stays as
    close to its neighbour as it was. No space is added beside whitespace, before a closing
    mark, or between scripts that use none.

    Args:
        text: the source.
        spans: its segments; between them, before and after is nothing but whitespace.
    """

    def __init__(self, text: str, spans: Sequence[Span]) -> None:
        self._text = text
        self._spans = spans
        self._taken = 0
        self._length = 0
        self._last = ""
        self._last_translated = False

    def add(self, output: str) -> Piece:
        """The piece for the next segment.

        Raises:
            IndexError: every segment has its output already.
        """
        span = self._spans[self._taken]
        translated = output != span.of(self._text)
        before = self._before(span, output, translated=translated)
        target = Span(0, len(output)).shift(self._length + len(before))
        self._taken += 1
        text = before + output + self._trailing(span)
        self._length += len(text)
        self._last = text[-1:] or self._last
        self._last_translated = translated if output else self._last_translated
        return Piece(text, target)

    def _before(self, span: Span, output: str, *, translated: bool) -> str:
        start = self._spans[self._taken - 1].end if self._taken else 0
        gap = self._text[start : span.start]
        if gap or not (translated and self._last_translated):
            return gap
        return " " if _need_space(self._last, output[:1]) else ""

    def _trailing(self, span: Span) -> str:
        return self._text[span.end :] if self._taken == len(self._spans) else ""


def assemble(text: str, spans: Sequence[Span], outputs: Sequence[str]) -> Assembled:
    """The result of replacing each span of `text` by its output; see `Joiner`.

    Raises:
        ValueError: there are not as many outputs as spans.
    """
    joiner = Joiner(text, spans)
    pieces = [joiner.add(output) for _, output in zip(spans, outputs, strict=True)]
    result = "".join(piece.text for piece in pieces) if pieces else text
    return Assembled(result, tuple(piece.target for piece in pieces))


def stream(text: str, spans: Sequence[Span], outputs: Iterable[str]) -> Iterator[Piece]:
    """The same, a piece for each output as it comes; the pieces' texts together are the result.

    A text without a segment, which is blank, has no piece.
    """
    joiner = Joiner(text, spans)
    for output in outputs:
        yield joiner.add(output)


def _need_space(last: str, first: str) -> bool:
    return (
        last != ""
        and first != ""
        and not last.isspace()
        and not first.isspace()
        and not _CLOSING.match(first)
        and not (_UNSPACED.match(last) and _UNSPACED.match(first))
    )
