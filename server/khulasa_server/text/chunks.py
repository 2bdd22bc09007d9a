"""What a model with a window reads of an article that is longer."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import regex

from khulasa_server.text.balance import Border, choose
from khulasa_server.text.fitting import fit
from khulasa_server.text.spans import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_FILL: Final = 0.9
"""Share of the window that chunks are planned for. Each chunk costs a run of the model, so little
is given away for borders between paragraphs."""

_INSIDE_PARAGRAPH: Final = 0.5
"""What a border inside a paragraph costs, as a share of an ideal chunk."""

_INSIDE_SENTENCE: Final = 1.0
"""The same inside a sentence that is longer than the window."""

_PARAGRAPH = regex.compile(r"[\n\x0b\x0c\x85\u2028\u2029]|\r(?!\n)")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, or a part of one that is longer than the window.

    Args:
        span: where it is.
        cost: its pieces, end of sequence not counted.
        ends: whether a sentence ends here; False for the earlier parts of one.
    """

    span: Span
    cost: int
    ends: bool = True


@dataclass(frozen=True, slots=True)
class Chunk:
    """What the model reads at once: consecutive sentences, at least one."""

    sentences: tuple[Sentence, ...]

    @property
    def span(self) -> Span:
        """From the first sentence to the last, with the whitespace between."""
        return Span(self.sentences[0].span.start, self.sentences[-1].span.end)

    @property
    def cost(self) -> int:
        """Pieces of all sentences and one end of sequence."""
        return sum(sentence.cost for sentence in self.sentences) + 1


def measure(
    text: str,
    spans: Sequence[Span],
    costs: Sequence[int],
    window: int,
    count: Callable[[str], int],
) -> list[Sentence]:
    """The sentences of `spans`; those that alone exceed the window are cut by `fit`.

    Args:
        text: the article.
        spans: its sentences, in order.
        costs: pieces of each, end of sequence counted.
        window: most pieces of a chunk, end of sequence counted.
        count: pieces of a text, end of sequence counted; called for long sentences only.
    """
    sentences: list[Sentence] = []
    for span, cost in zip(spans, costs, strict=True):
        if cost <= window:
            sentences.append(Sentence(span, cost - 1))
            continue
        parts = fit(text, span, window, count)
        sentences += [
            Sentence(part, count(part.of(text)) - 1, ends=part is parts[-1]) for part in parts
        ]
    return sentences


def lead(sentences: Sequence[Sentence], window: int) -> Chunk:
    """The longest run of leading whole sentences that fit in `window` pieces.

    A first sentence that alone exceeds the window is read as far as its parts fit.

    Args:
        sentences: at least one, from `measure`.
        window: most pieces, end of sequence counted.
    """
    total, read, whole = 1, 0, 0
    for number, sentence in enumerate(sentences, start=1):
        total += sentence.cost
        if total > window:
            break
        read = number
        whole = number if sentence.ends else whole
    return Chunk(tuple(sentences[: whole or max(read, 1)]))


def hierarchical(text: str, sentences: Sequence[Sentence], window: int) -> list[Chunk]:
    """Consecutive chunks of about equal cost, together all sentences, each within `window`.

    Borders are put at the ends of paragraphs where one is near, else between sentences.

    Args:
        text: the article.
        sentences: from `measure` with the same window.
        window: most pieces of a chunk, end of sequence counted.
    """
    borders, total = [], 0.0
    for sentence, following in pairwise(sentences):
        total += sentence.cost
        borders.append(Border(total, _penalty(text, sentence, following)))
    total += sentences[-1].cost if sentences else 0
    cuts = [index + 1 for index in choose(borders, total, max(1, window - 1), _FILL)]
    return [
        Chunk(tuple(sentences[start:end]))
        for start, end in zip([0, *cuts], [*cuts, len(sentences)], strict=True)
        if start < end
    ]


def coverage(read: Sequence[Span], text: str) -> float:
    """Share of the code points of `text` that were read, in [0, 1].

    Whitespace between spans that were read, and between them and the ends of the text, counts
    as read: 1.0 if and only if everything but whitespace was read, and for a blank text.

    Args:
        read: spans of `text` in any order; they may overlap.
        text: the whole text.
    """
    unread, reached = 0, 0
    for start, end in [*sorted((span.start, span.end) for span in read), (len(text), len(text))]:
        gap = text[reached:start]
        if gap and not gap.isspace():
            unread += len(gap)
        reached = max(reached, end)
    return 1 - unread / len(text) if unread else 1.0


def _penalty(text: str, sentence: Sentence, following: Sentence) -> float:
    if not sentence.ends:
        return _INSIDE_SENTENCE
    between = text[sentence.span.end : following.span.start]
    return 0.0 if _PARAGRAPH.search(between) else _INSIDE_PARAGRAPH
