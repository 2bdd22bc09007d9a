"""Where the sentences of a text are."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import regex
from icu4py.breakers import SentenceBreaker

from khulasa_server.text import verbatim
from khulasa_server.text.lines import list_marks, plain
from khulasa_server.text.spans import Span
from khulasa_server.text.stops import is_false

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PRIMARY_SUBTAG = regex.compile(r"[A-Za-z]{2,8}(?![A-Za-z0-9])")
_ASTRAL = regex.compile("[\U00010000-\U0010ffff]")
_PUNCTUATION = regex.compile(r"[\p{P}\s]+")


def split(text: str, language: str) -> list[Span]:
    """Sentence spans of `text`, in order.

    Together with the whitespace before, between and after them they are the whole text; none
    is empty, begins or ends with whitespace (`str.isspace`). A line break ends a segment,
    except inside prose wrapped by hand. Segments of their own, so that they can be copied:
    marks that open a list item, and addresses, mentions and emoji at the edges of a sentence.
    Never raises, whatever code points `text` holds.

    Args:
        text: any text.
        language: BCP-47 code; one that ICU does not know gets its root rules.
    """
    shadow = plain(text)
    marks = list_marks(shadow)
    cuts = {0, len(text)}
    cuts.update(_sentence_ends(text, shadow, language))
    for mark in marks:
        cuts.difference_update(range(mark.start, mark.end))
        cuts.update((mark.start, mark.end))
    spans = _stripped(text, sorted(cuts))
    return list(_with_edges(text, _attached(shadow, spans, frozenset(marks))))


def _sentence_ends(text: str, shadow: str, language: str) -> Iterator[int]:
    for end in _icu_ends(shadow, language):
        if end < len(text) and (shadow[end - 1] == "\n" or not is_false(text, end)):
            yield end


def _icu_ends(text: str, language: str) -> Iterator[int]:
    """Ends of ICU's sentences; ICU counts UTF-16 units, of which astral code points take two."""
    primary = _PRIMARY_SUBTAG.match(language)
    breaker = SentenceBreaker(text, primary[0] if primary else "und")
    astral = [match.start() for match in _ASTRAL.finditer(text)]
    passed = 0
    for _, end in breaker.segments():
        while passed < len(astral) and astral[passed] + passed < end:
            passed += 1
        yield end - passed


def _stripped(text: str, cuts: list[int]) -> Iterator[Span]:
    for start, end in pairwise(cuts):
        part = text[start:end]
        body = part.lstrip()
        if body:
            first = end - len(body)
            yield Span(first, first + len(body.rstrip()))


def _attached(shadow: str, spans: Iterable[Span], marks: frozenset[Span]) -> list[Span]:
    """The spans, with lone punctuation joined to its neighbour on the same line."""
    joined: list[Span] = []
    for span in spans:
        last = joined[-1] if joined else None
        if (
            last is not None
            and not {last, span} & marks
            and (_is_punctuation(shadow, span) or _is_punctuation(shadow, last))
            and "\n" not in shadow[last.end : span.start]
        ):
            joined[-1] = Span(last.start, span.end)
        else:
            joined.append(span)
    return joined


def _is_punctuation(text: str, span: Span) -> bool:
    return _PUNCTUATION.fullmatch(text, span.start, span.end) is not None


def _with_edges(text: str, spans: Iterable[Span]) -> Iterator[Span]:
    for span in spans:
        start, end = verbatim.core(text, span.start, span.end)
        yield from _stripped(text, sorted({span.start, start, end, span.end}))
