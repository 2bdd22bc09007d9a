"""Whether evidence tells a summary's own article from another's."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from tests.fidelity.sets import percent, records

from khulasa_server.guards.evidence import Evidence, evidence_for, find_unsupported_sentences
from khulasa_server.text.segmentation import split

if TYPE_CHECKING:
    from collections.abc import Iterator

    from khulasa_server.text.spans import Span

OTHERS = 10
"""Articles, drawn from all the others, that each description is held against."""


def measured() -> Iterator[tuple[str, dict[str, str]]]:
    """On Arabic documentation with its authors' descriptions."""
    articles = records("docs-ar-summaries.jsonl")
    sentences = [split(article["text"], "ar") for article in articles]
    own: list[list[Evidence]] = []
    others: list[list[Evidence]] = []
    flagged = [0, 0]
    rng = random.Random(7)  # noqa: S311 - repeatable draws
    for place, article in enumerate(articles):
        rest = [at for at in range(len(articles)) if at != place]
        for at in (place, *rng.sample(rest, OTHERS)):
            evidence = _evidence(article["summary"], articles[at], sentences[at])
            (own if at == place else others).append(evidence)
            unsupported = find_unsupported_sentences(article["summary"], evidence)
            flagged[at != place] += bool(unsupported)
    mine, theirs = list(map(_support, own)), list(map(_support, others))
    wins = sum((one > other) + 0.5 * (one == other) for one in mine for other in theirs)
    yield (
        f"Evidence, {len(own)} descriptions",
        {
            "AUC, own article against others": f"{wins / (len(mine) * len(theirs)):.3f}",
            "flagged against their own": percent(flagged[0] / len(own)),
            "flagged against another": percent(flagged[1] / len(others)),
        },
    )


def _evidence(summary: str, article: dict[str, Any], sentences: list[Span]) -> list[Evidence]:
    return evidence_for(summary, split(summary, "ar"), article["text"], sentences, "ar")


def _support(evidence: list[Evidence]) -> float:
    return sum(each.support for each in evidence) / len(evidence)
