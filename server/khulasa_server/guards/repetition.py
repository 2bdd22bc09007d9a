"""Loops: what a model writes again and again and its source does not say again and again."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from khulasa_server.guards.findings import Finding, Kind, excerpt
from khulasa_server.guards.thresholds import THRESHOLDS
from khulasa_server.guards.words import Word, forms_of, words_of
from khulasa_server.text.spans import Span

if TYPE_CHECKING:
    from collections.abc import Sequence

_STUTTER = re.compile(r"([^\W\d_]{2,8}?)\1{2,}|([^\W\d_])\2{3,}")
_DOUBLED_IN_PROSE = frozenset({"had", "that"})
_SHORTEST_WORD, _STEM = 3, 4
# Words of the longest sentence a model is given; keeps the time linear in an article's length.
_LONGEST_PERIOD = 64
# Of which abbreviations are spelled: the BBC is "بي بي سي", and CNN "سي إن إن".
_LETTER_NAMES = frozenset(["بي", "سي", "دي", "إي", "اي", "جي", "تي", "في", "إن", "ان", "إس", "اس"])
_PARTICLES = re.compile(r"^[وفبلك]?(?:ال|لل)?(?=\w{3})")


class _Loop(NamedTuple):
    """Words `[start, end)` in which a unit of `period` words comes again directly."""

    period: int
    start: int
    end: int

    @property
    def times(self) -> float:
        return (self.end - self.start) / self.period


def find_repetition(source: str, output: str) -> list[Finding]:
    """The worst loop of `output`, if there is one that `source` does not account for.

    Three shapes: a unit of words that follows itself, a phrase or a word that returns far more
    often than anything in the source, and a syllable that stutters within a word.
    """
    pairs = list(pairwise(forms_of(output)))
    if len(set(pairs)) == len(pairs) and not any(one == other for one, other in pairs):
        return _stuttering(source, output)
    words = words_of(output)
    return (
        _consecutive(source, output, words)
        or _returning(source, words)
        or _stuttering(source, output)
    )


def _consecutive(source: str, output: str, words: list[Word]) -> list[Finding]:
    forms = [word.form for word in words]
    loops = [loop for loop in _loops(forms) if _is_loop(forms, loop)]
    if not loops:
        return []
    own = _own_loops(source)
    loops = [
        loop
        for loop in loops
        if loop.times >= 1 + own[loop.period == 1] and not _is_prose(output, words, loop)
    ]
    if not loops:
        return []
    worst = max(loops, key=lambda loop: (loop.times, loop.end - loop.start))
    span = Span(words[worst.start].start, words[worst.end - 1].end)
    unit = output[span.start : words[worst.start + worst.period - 1].end]
    return [Finding(Kind.REPETITION, None, span, f"{worst.times:.1f} times: {excerpt(unit)}")]


def _own_loops(source: str) -> dict[bool, float]:
    """How often `source` itself says a phrase (False) or a word (True) in direct succession."""
    words = words_of(source)
    forms = [_PARTICLES.sub("", word.form) for word in words]
    own = {False: 0.0, True: 0.0}
    for loop in _loops(forms):
        spelled = forms[loop.start] in _LETTER_NAMES
        if loop.times >= THRESHOLDS.loops and not spelled and not _is_prose(source, words, loop):
            single = loop.period == 1
            own[single] = max(own[single], loop.times)
    return own


def _is_prose(text: str, words: list[Word], loop: _Loop) -> bool:
    """Whether a sentence only takes up the words with which the one before it ends.

    An echo, of which less than a whole unit comes again, needs no more than a comma for that:
    "not a deficit, but a deficit".
    """
    if loop.times > THRESHOLDS.loops:
        return False
    first = loop.start if loop.times < THRESHOLDS.loops else loop.start + loop.period - 1
    between = text[words[first].end : words[loop.start + loop.period].start]
    return any(mark in between for mark in (".?!;:()," if first == loop.start else ".?!;:()"))


def _loops(forms: Sequence[str]) -> list[_Loop]:
    """Maximal runs in which each word equals the one a period before it."""
    last: dict[str, int] = {}
    periods = set()
    for place, form in enumerate(forms):
        if place - last.get(form, -_LONGEST_PERIOD) < _LONGEST_PERIOD:
            periods.add(place - last[form])
        last[form] = place
    return [loop for period in periods for loop in _loops_of(forms, period)]


def _loops_of(forms: Sequence[str], period: int) -> list[_Loop]:
    loops = []
    begin = None
    for place in range(period, len(forms) + 1):
        same = place < len(forms) and forms[place] == forms[place - period]
        if same and begin is None:
            begin = place
        elif not same and begin is not None:
            loops.append(_Loop(period, begin - period, place))
            begin = None
    return loops


def _is_loop(forms: Sequence[str], loop: _Loop) -> bool:
    unit = forms[loop.start : loop.start + loop.period]
    if not any(form.isalpha() for form in unit) and "".join(unit).isdigit():
        return loop.times >= THRESHOLDS.digit_loops
    if loop.period == 1:
        return _is_doubling(unit[0], loop.times)
    again = loop.end - loop.start - loop.period
    return loop.times >= THRESHOLDS.loops or (
        again >= THRESHOLDS.echo_words
        and loop.period - again <= 1
        and any(_is_content(form) for form in forms[loop.end - again : loop.end])
    )


def _is_doubling(form: str, times: float) -> bool:
    if len(form) == 1 or form in _DOUBLED_IN_PROSE:
        return times >= THRESHOLDS.letter_loops
    return times >= THRESHOLDS.loops


def _is_content(form: str) -> bool:
    return len(form) >= THRESHOLDS.content_letters


def _returning(source: str, words: list[Word]) -> list[Finding]:
    """A phrase with a long word that returns, adjacent or not."""
    forms = [word.form for word in words]
    counts = Counter(forms)
    if max(counts.values(), default=0) < THRESHOLDS.returns:
        return []
    pairs = Counter(pair for pair in pairwise(forms) if any(map(_is_content, pair)))
    phrase, times = max(pairs.items(), key=lambda item: item[1], default=(("", ""), 0))
    if times < THRESHOLDS.returns or times <= _most_frequent(source) + 1:
        return []
    places = [i for i in range(len(forms) - 1) if (forms[i], forms[i + 1]) == phrase]
    span = Span(words[places[0]].start, words[places[-1] + 1].end)
    return [Finding(Kind.REPETITION, None, span, f"{times} times: {excerpt(' '.join(phrase))}")]


def _most_frequent(source: str) -> int:
    """How often the most frequent long word of `source` occurs, particles and endings aside."""
    bare = (_PARTICLES.sub("", form)[:_STEM] for form in forms_of(source))
    counts = Counter(form for form in bare if len(form) >= _SHORTEST_WORD)
    return max(counts.values(), default=0)


def _stuttering(source: str, output: str) -> list[Finding]:
    match = _STUTTER.search(output)
    if match is None or _STUTTER.search(source):
        return []
    return [Finding(Kind.REPETITION, None, Span(*match.span()), excerpt(match.group()))]
