"""A segment in parts, so that what the model lost of it is copied beside what it translates."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import regex

from khulasa_server.guards.findings import Kind
from khulasa_server.tasks.planning import Planned, plan_part
from khulasa_server.text import verbatim
from khulasa_server.text.assembly import assemble
from khulasa_server.text.normalization import normalize
from khulasa_server.text.scripts import has_letters_of
from khulasa_server.text.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from khulasa_server.guards.findings import Finding
    from khulasa_server.tasks.routing import Route

# Digits with what belongs to them: `٣٫٥٪`, `$5`, `9:30`, `12/5/2010`.
_NUMERAL = regex.compile(r"[$€£¥%٪]?\d+(?:[.,:/٫٬-]\d+)*[%٪]?")
_DIGIT = regex.compile(r"\d")
_LATIN_MARKS: Final = str.maketrans("،؛؟", ",;?")
_PERCENT_FIRST = regex.compile(r"%([\d.,]+)")
_OPENING: Final = {"(": ")", "[": "]", "{": "}", "«": "»", "“": "”"}
_CLOSING: Final = frozenset(_OPENING.values())
# Marks that touch what is set apart belong to it more than to the words beyond.
_AFTER = regex.compile(r"[\p{Pe}\p{Pf}\"',.،؛:!?؟…]+")
_STOPPED = regex.compile(r"[.!?؟…:؛۔।。][\p{Pe}\p{Pf}\"'\s]*$")
_ADDED_STOP = regex.compile(r"(?<![.!?…])\.$")
_NO_NAMES: Final = frozenset(
    "A About After An And Are As At Because Before But By For From He Her His How If In Into Is"  # noqa: SIM905 - forty words in quotes would be harder to read
    " It Its My Of On Or Our She So That The Their Them There These They This Those To Under Until"
    " Was We Were What When Where Which While Who Will With You Your".split()
)


def find_lost(source: str, findings: Iterable[Finding]) -> list[Span]:
    """Addresses, tags, mentions, emoji and numerals of `source` that its output lacks.

    Where one address is lost all of them are named: the others may stand in the wrong place.
    """
    lost = [finding for finding in findings if finding.source and not finding.resolved]
    runs = verbatim.runs(source) if any(each.kind is Kind.ENTITY_MISSING for each in lost) else []
    numbers = [each.source for each in lost if each.kind is Kind.NUMBER_MISSING and each.source]
    numerals = {numeral for span in numbers for numeral in _numerals(source, span)}
    return sorted([*runs, *(span for span in numerals if not _is_inside(span, runs))])


def around(source: str, apart: Sequence[Span], route: Route) -> list[Planned]:
    """`source` in parts: those of `apart` to copy, those between to translate.

    Copied too are marks that touch one of `apart`, and brackets around one.
    """
    copied = sorted([*_with_marks(source, apart), *_brackets(source, apart)])
    parts, reached = [], 0
    for span in (*copied, Span(len(source), len(source))):
        parts += [plan_part(source, part, route) for part in _stripped(source, reached, span.start)]
        parts += [Planned(span, None)] if span else []
        reached = span.end
    return parts


def as_copied(part: str, route: Route) -> str:
    """A part without a word: an address as it is, digits and marks as the target writes them."""
    if verbatim.runs(part) or has_letters_of("ا", route.target):
        return part
    return _PERCENT_FIRST.sub(r"\1%", normalize(part).text).translate(_LATIN_MARKS)


def as_part(source: str, span: Span, output: str) -> str:
    """`output` without what models of sentences add to a part of one: a capital, a full stop."""
    if not _STOPPED.search(source, span.start, span.end):
        output = _ADDED_STOP.sub("", output)
    is_first = not source[: span.start].strip()
    if is_first or output.partition(" ")[0] not in _NO_NAMES:
        return output
    return output[:1].lower() + output[1:]


def joined(source: str, parts: Sequence[Planned], texts: Sequence[str]) -> str:
    """The outputs of all parts where the parts were; a numeral never touches the word beside it."""
    if len(parts) == 1 and len(parts[0].span) == len(source):
        return texts[0].strip()
    whole = assemble(source, [part.span for part in parts], texts)
    text = whole.text
    for one, other in reversed(list(pairwise(whole.targets))):
        touching = text[one.end - 1 : one.end] + text[other.start : other.start + 1]
        if one.end == other.start and touching.isalnum() and _DIGIT.search(touching):
            text = f"{text[: one.end]} {text[other.start :]}"
    return text.strip()


def _with_marks(source: str, apart: Iterable[Span]) -> Iterator[Span]:
    for span in apart:
        yield span
        if marks := _AFTER.match(source, span.end):
            yield Span(*marks.span())


def _brackets(source: str, apart: Sequence[Span]) -> Iterator[Span]:
    """Brackets of which one stands before and the other after something that is set apart."""
    waiting: list[tuple[str, int]] = []
    for at, sign in enumerate(source):
        if _is_inside(Span(at, at + 1), apart):
            continue
        if sign in _OPENING:
            waiting.append((_OPENING[sign], at))
        elif sign in _CLOSING and waiting and waiting[-1][0] == sign:
            _, start = waiting.pop()
            if any(start < span.start < at for span in apart):
                yield Span(start, start + 1)
                # After what is set apart it is among the marks already.
                if not any(
                    span.end <= at and _AFTER.fullmatch(source, span.end, at + 1) for span in apart
                ):
                    yield Span(at, at + 1)


def _numerals(source: str, span: Span) -> Iterator[Span]:
    """The numerals that a number consists of, whole: not the words beside them."""
    for match in _NUMERAL.finditer(source):
        if match.start() < span.end and span.start < match.end():
            yield Span(*match.span())


def _is_inside(span: Span, runs: Iterable[Span]) -> bool:
    return any(run.start < span.end and span.start < run.end for run in runs)


def _stripped(source: str, start: int, end: int) -> Iterator[Span]:
    part = source[start:end]
    body = part.lstrip()
    if body:
        first = end - len(body)
        yield Span(first, first + len(body.rstrip()))
