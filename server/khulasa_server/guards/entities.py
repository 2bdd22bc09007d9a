"""URLs, addresses, tags, mentions and emoji, which translation must leave as they are."""

from __future__ import annotations

from collections import Counter

from khulasa_server.guards.findings import Finding, Kind, excerpt
from khulasa_server.text import verbatim


def find_missing_entities(source: str, output: str) -> list[Finding]:
    """What `source` holds of these and `output` does not hold, letter by letter, as often."""
    told: Counter[str] = Counter()
    missing = []
    for span in verbatim.runs(source):
        run = span.of(source)
        told[run] += 1
        if output.count(run) < told[run]:
            missing.append(Finding(Kind.ENTITY_MISSING, span, None, excerpt(run)))
    return missing


def without_entities(source: str, output: str) -> tuple[str, str]:
    """Both with spaces, as many as it has code points, for whatever is meant to be in both.

    What is copied on purpose is no untranslated word, no foreign letter and no number.
    """
    for span in verbatim.runs(source):
        run, blank = span.of(source), " " * len(span)
        source = source[: span.start] + blank + source[span.end :]
        output = output.replace(run, blank, 1)
    return source, output
