"""What is wrong with an output, how bad that is, and whether to try again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from khulasa_server.guards.copying import find_copied, find_foreign_letters
from khulasa_server.guards.entities import find_missing_entities, without_entities
from khulasa_server.guards.findings import Finding, Kind
from khulasa_server.guards.length import (
    find_empty,
    find_length,
    find_longer_than_source,
    find_truncated,
)
from khulasa_server.guards.names import find_unsupported_names
from khulasa_server.guards.numbers import find_numbers, find_unsupported_numbers
from khulasa_server.guards.repetition import find_repetition
from khulasa_server.guards.sentinels import find_sentinels

if TYPE_CHECKING:
    from collections.abc import Iterable

_WEIGHTS = {
    Kind.ENTITY_MISSING: 128,
    Kind.EMPTY_OUTPUT: 64,
    Kind.UNTRANSLATED: 32,
    Kind.REPETITION: 16,
    Kind.TRUNCATED: 16,
    Kind.LENGTH_RATIO: 8,
    Kind.WRONG_SCRIPT: 8,
    Kind.SENTINEL: 8,
}
"""Degeneration. What must be copied can always be: no output without it is better than one with
it. An output that says nothing is worse than one that says a part; a loop or a cut worse than a
blemish in an output that says all."""

_SLIGHT = 1
"""Any other finding, such as a number that is not in the output."""


def judge_translation(
    source: str, output: str, *, cut: bool, source_language: str, target_language: str
) -> list[Finding]:
    """All that is wrong with the translation of one segment, the worst first.

    Args:
        source: the segment.
        output: its translation.
        cut: the model reached its most tokens before it wrote its end of sequence.
        source_language: BCP-47.
        target_language: BCP-47.

    Returns:
        Findings with spans in `source` and `output`; none for a good translation.
    """
    lost = find_missing_entities(source, output)
    source, output = without_entities(source, output)
    if empty := find_empty(source, output):
        return [*lost, *empty]
    copied = find_copied(source, output, source_language, target_language)
    found = [
        *copied,
        *find_repetition(source, output),
        *find_truncated(output, cut=cut),
        *find_length(source, output, source_language, target_language),
        *find_sentinels(source, output),
        *lost,
    ]
    # A copy has every number, and a wrong one says no more about it.
    if not any(finding.kind is Kind.UNTRANSLATED for finding in copied):
        found += find_numbers(source, output, source_language, target_language)
    return sorted(found, key=_weight, reverse=True)


def judge_summary(source: str, output: str, *, cut: bool, language: str) -> list[Finding]:
    """All that is wrong with a summary of `source`, the worst first.

    Args:
        source: the article, or the part of it that was read.
        output: the summary.
        cut: the model reached its most tokens before it wrote its end of sequence.
        language: of both, BCP-47.

    Returns:
        Findings with spans in `source` and `output`; none for a good summary.
    """
    if empty := find_empty(source, output):
        return empty
    found = [
        *find_repetition(source, output),
        *find_truncated(output, cut=cut),
        *find_longer_than_source(source, output),
        *find_foreign_letters(source, output, language),
        *find_sentinels(source, output),
        *find_unsupported_numbers(source, output, language),
        *find_unsupported_names(source, output, language),
    ]
    return sorted(found, key=_weight, reverse=True)


def needs_retry(findings: Iterable[Finding]) -> bool:
    """Whether decoding again is worth its cost: the output degenerated, or lost an address."""
    return any(finding.kind in _WEIGHTS for finding in findings)


def is_degenerate(findings: Iterable[Finding]) -> bool:
    """Whether decoding again has to be stricter."""
    return any(
        finding.kind in _WEIGHTS and finding.kind is not Kind.ENTITY_MISSING for finding in findings
    )


def severity(findings: Iterable[Finding]) -> int:
    """How much is wrong, to compare two outputs of one source; 0: nothing.

    Of any two outputs the one with the lower severity is to be kept.
    """
    return sum(map(_weight, findings))


def _weight(finding: Finding) -> int:
    return _WEIGHTS.get(finding.kind, _SLIGHT)
