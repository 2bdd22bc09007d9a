"""Splitting segments that a model cannot take whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import regex

from khulasa_server.text.balance import Border, choose
from khulasa_server.text.spans import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FILL: Final = 0.85
"""Share of the limit that parts are planned for: room to reach a clause mark."""

_PENALTIES: Final = {"strong": 0.0, "clause": 0.15, "space": 0.6, "title": 0.9}
"""What a cut costs, against its distance from the middle: a clause mark within reach always
wins over a bare space, a stronger mark over a comma unless it is much farther."""

# Full stops are none of these: inside a sentence they belong to abbreviations. Marks of full
# width and Arabic marks part clauses even where no space follows; others are decimal points,
# times and hyphens then.
# Each alternative looks back first, so that a long run of one sign is read once, not from each of
# its signs to its end.
_BORDER = regex.compile(
    r"""(?x)
    (?P<strong> (?: [؛؟。！？；：।۔] | [;:!?](?=[\p{Pe}\p{Pf}"']*+\s) )++ [\p{Pe}\p{Pf}"']*+ \s*+ )
  | (?P<clause>
        (?: [،、，](?!\d) | (?:,|…|(?<!\.)\.{2,}+)(?=[\p{Pe}\p{Pf}"']*+\s) )++
        [\p{Pe}\p{Pf}"']*+ \s*+
      | (?<=[^\s\p{Pe}\p{Pf}"']) [\p{Pe}\p{Pf}"']++ \s++
      | (?<![–—]) [–—]++ \s++
      | \s -++ \s++
      | (?<!\s) \s++ (?=[\p{Ps}\p{Pi}"']) (?!\p{P}++(?:\s|\Z))
    )
  | (?P<title> (?<=(?:^|[\s\p{P}])\p{L}\.) \s++ )
  | (?P<space> (?<!\s) \s++ (?!\p{P}++(?:\s|\Z)) )
    """
)
# `\X` looks back to the first of a row of flags, at each of them: pairs are taken before it.
_GRAPHEME = regex.compile(r"\p{Regional_Indicator}{2}[\p{M}\u200c\u200d]*+|\X")
# All that `str.isspace` calls whitespace; `\s` leaves out the four separators of old.
_SPACE = regex.compile(r"[\s\x1c-\x1f]++")
_PUNCTUATION = regex.compile(r"[\p{P}\s]+")


def fit(text: str, span: Span, limit: int, count: Callable[[str], int]) -> list[Span]:
    """`span`, in as few and as equal parts of at most `limit` pieces as is sensible.

    Cuts are made after clause marks where one is near, else at spaces; inside a word only when
    it alone exceeds the limit, then between graphemes; inside a grapheme only when it alone
    exceeds the limit, then between code points. A single code point above the limit stays.
    The parts tile the span as sentences tile a text: only whitespace is between them.

    `count` is called once for the span and about once for every part: its texts together are
    a small multiple of the span, whatever the text.

    Args:
        text: any text.
        span: neither beginning nor ending with whitespace.
        limit: most pieces of a part, end of sequence counted.
        count: pieces of a text, end of sequence counted.
    """
    parts: list[tuple[Span, int]] = []
    waiting = [span]
    while waiting:
        part = waiting.pop()
        pieces = count(part.of(text))
        smaller = _divide(text, part, pieces, limit) if pieces > limit else [part]
        if len(smaller) == 1:
            parts.append((part, pieces))
        else:
            waiting.extend(reversed(smaller))
    return _merged(text, parts, limit, count)


def _divide(text: str, span: Span, pieces: int, limit: int) -> list[Span]:
    """Parts of `span`, by the average number of pieces a code point; itself if indivisible."""
    cuts, penalties = _clauses(text, span)
    if not cuts:
        cuts = [match.start() for match in _SPACE.finditer(text, span.start, span.end)]
    if not cuts:
        cuts = [match.end() for match in _GRAPHEME.finditer(text, span.start, span.end)][:-1]
    if not cuts:
        cuts = list(range(span.start + 1, span.end))
    if not cuts:
        return [span]
    density = max(1, pieces - 1) / len(span)
    borders = [
        Border((cut - span.start) * density, penalty)
        for cut, penalty in zip(cuts, penalties or [0.0] * len(cuts), strict=True)
    ]
    capacity = max(1, limit - 1)
    chosen = choose(borders, max(len(span) * density, capacity + 1), capacity, _FILL)
    return list(_between(text, span, [cuts[index] for index in chosen]))


def _clauses(text: str, span: Span) -> tuple[list[int], list[float]]:
    """Where words end that may end a part, and what a cut there costs."""
    cuts, penalties = [], []
    for match in _BORDER.finditer(text, span.start, span.end):
        if span.start < match.end() < span.end:
            cuts.append(match.end())
            penalties.append(_PENALTIES[match.lastgroup or "space"])
    return cuts, penalties


def _between(text: str, span: Span, cuts: list[int]) -> Iterator[Span]:
    """The parts of `span` between `cuts`, without the whitespace around them."""
    for start, end in zip([span.start, *cuts], [*cuts, span.end], strict=True):
        part = text[start:end]
        body = part.lstrip()
        if body:
            first = end - len(body)
            yield Span(first, first + len(body.rstrip()))


def _merged(
    text: str, parts: list[tuple[Span, int]], limit: int, count: Callable[[str], int]
) -> list[Span]:
    """The parts, those joined that are small together or of which one is mere punctuation.

    Sizes were guessed from an average: a stretch may have been cut once too often.
    """
    joined: list[Span] = []
    pieces = limit
    for part, own in parts:
        last = joined[-1] if joined else part
        both = Span(last.start, part.end)
        if joined and (pieces + own - 1 <= limit or _is_mark(text, last) != _is_mark(text, part)):
            together = count(both.of(text))
            if together <= limit:
                joined[-1], pieces = both, together
                continue
        joined.append(part)
        pieces = own
    return joined


def _is_mark(text: str, span: Span) -> bool:
    return _PUNCTUATION.fullmatch(text, span.start, span.end) is not None
