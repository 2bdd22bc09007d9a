"""Which sentence of an article each sentence of its summary rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from khulasa_server.guards.findings import Finding, Kind, excerpt
from khulasa_server.guards.stems import stems_of
from khulasa_server.guards.thresholds import THRESHOLDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from khulasa_server.text.spans import Span


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one sentence of a summary rests on.

    Args:
        summary: the sentence, in the summary.
        source: the sentence of the source that supports it most; None: none does at all.
        support: share of the summary sentence's stems that stand in that one, 0 to 1; 1 for a
            sentence without a word that says something.
    """

    summary: Span
    source: Span | None
    support: float


def evidence_for(
    summary: str,
    summary_sentences: Sequence[Span],
    source: str,
    source_sentences: Sequence[Span],
    language: str,
) -> list[Evidence]:
    """The evidence of each of `summary_sentences`; among equals the first sentence counts.

    A text that is its own summary rests on itself, sentence by sentence.

    Args:
        summary: the summary, with the spans of its sentences.
        summary_sentences: in code points of `summary`.
        source: the article.
        source_sentences: in code points of `source`.
        language: of both, BCP-47.
    """
    if summary == source:
        return [Evidence(span, span, 1.0) for span in summary_sentences]
    stems = [stems_of(span.of(source), language) for span in source_sentences]
    return [
        _best(span, stems_of(span.of(summary), language), stems, source_sentences)
        for span in summary_sentences
    ]


def find_unsupported_sentences(summary: str, evidence: Iterable[Evidence]) -> list[Finding]:
    """Sentences of a summary that hardly share a word with any sentence of its article."""
    return [
        Finding(
            Kind.SUMMARY_UNSUPPORTED,
            each.source,
            each.summary,
            f"support {each.support:.2f}: {excerpt(each.summary.of(summary))}",
        )
        for each in evidence
        if each.support < THRESHOLDS.support
    ]


def _best(
    sentence: Span, stems: set[str], others: Sequence[set[str]], spans: Sequence[Span]
) -> Evidence:
    shared = [len(stems & other) for other in others]
    most = max(shared, default=0)
    support = most / len(stems) if stems else 1.0
    return Evidence(sentence, spans[shared.index(most)] if most else None, support)
