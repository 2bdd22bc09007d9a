"""Numbers that got lost or were invented."""

from __future__ import annotations

from collections import Counter
from itertools import zip_longest
from typing import TYPE_CHECKING

from khulasa_server.guards.findings import Finding, Kind, excerpt
from khulasa_server.guards.quantities import Quantity, numerals_of, quantities_of
from khulasa_server.guards.thresholds import THRESHOLDS

if TYPE_CHECKING:
    from collections.abc import Sequence

_Pair = tuple[Quantity | None, Quantity | None]
"""A number that is missing and the one that may stand for it."""


_SPELLED = frozenset({"ar", "en"})
"""Languages of which number words are known."""


def find_numbers(
    source: str, output: str, source_language: str, target_language: str
) -> list[Finding]:
    """Numbers of `source` that `output` lacks, and numbers of `output` that `source` lacks.

    Digits must have a counterpart, and number words from a size up at which translators keep
    them; smaller words only account for one. A number that the source says in digits twice must
    come twice. Where some of both are found, the first missing may have turned into the first
    unsupported, and so on: both findings have both places.

    Between languages of which number words are not known, only numerals of three or more
    characters are compared. Languages are BCP-47.
    """
    spelled = _is_spelled(source_language) and _is_spelled(target_language)
    given, written = _numbers(source, spelled=spelled), _numbers(output, spelled=spelled)
    missing = sorted(
        _unmatched(given, written) + _repeats_lost(given, written), key=lambda one: one.start
    )
    unsupported = _unmatched(written, given)
    pairs = list(zip_longest(missing, unsupported))
    kinds = (Kind.NUMBER_MISSING, Kind.NUMBER_UNSUPPORTED)
    return [
        _finding(kind, pair, source, output)
        for side, kind in enumerate(kinds)
        for pair in pairs
        if pair[side]
    ]


def find_unsupported_numbers(source: str, output: str, language: str) -> list[Finding]:
    """Numbers of a summary that are nowhere in its article; it need not keep any."""
    spelled = _is_spelled(language)
    unsupported = _unmatched(_numbers(output, spelled=spelled), _numbers(source, spelled=spelled))
    return [
        Finding(Kind.NUMBER_UNSUPPORTED, None, number.span, excerpt(number.span.of(output)))
        for number in unsupported
    ]


def _is_spelled(language: str) -> bool:
    return language.partition("-")[0].lower() in _SPELLED


def _numbers(text: str, *, spelled: bool) -> list[Quantity]:
    if spelled:
        return quantities_of(text)
    return [
        number._replace(firm=number.end - number.start >= THRESHOLDS.numeral_length)
        for number in numerals_of(text)
    ]


def _unmatched(numbers: Sequence[Quantity], others: Sequence[Quantity]) -> list[Quantity]:
    """Firm ones that share no meaning with any of `others`."""
    known = frozenset().union(*(other.values for other in others))
    return [number for number in numbers if number.firm and known.isdisjoint(number.values)]


def _repeats_lost(given: Sequence[Quantity], written: Sequence[Quantity]) -> list[Quantity]:
    """Numbers in digits that `given` holds more often than `written`, which holds them too."""
    known = Counter(value for number in written for value in number.values)
    told: Counter[str] = Counter()
    lost = []
    for number in given:
        told.update(number.values)
        counts = [(told[value], known[value]) for value in number.values]
        if (
            number.firm
            and number.digits
            and any(k for _, k in counts)
            and all(t > k for t, k in counts)
        ):
            lost.append(number)
    return lost


def _finding(kind: Kind, pair: _Pair, source: str, output: str) -> Finding:
    lost, found = pair
    given = excerpt(lost.span.of(source)) if lost else ""
    written = excerpt(found.span.of(output)) if found else ""
    detail = f"{given}, perhaps written as {written}" if given and written else given or written
    return Finding(kind, lost.span if lost else None, found.span if found else None, detail)
