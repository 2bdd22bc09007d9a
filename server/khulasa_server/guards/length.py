"""Outputs that are too short or too long for their source, cut, or not there at all."""

from __future__ import annotations

import regex

from khulasa_server.guards.findings import Finding, Kind
from khulasa_server.guards.halves import HALVED, is_half
from khulasa_server.guards.thresholds import (
    ANY_PAIR,
    LENGTH_BANDS,
    THRESHOLDS,
)
from khulasa_server.text.spans import Span

_MARKS = regex.compile(r"[\p{M}\p{Cf}\u0640]")
_FINISHED = regex.compile(r"[.!?؟…:;؛。！？।۔።][\p{Pe}\p{Pf}\p{Pi}\"'\s]*$")
_LETTER = regex.compile(r"\p{L}")
_CONTENT = regex.compile(r"[\p{L}\p{N}]")


def find_length(
    source: str, output: str, source_language: str, target_language: str
) -> list[Finding]:
    """Whether a translation's length is outside the band of its pair of languages.

    A source that ends with a stop and an output that ends without any is judged more strictly:
    that is how the first half of a sentence looks. Of a half that was closed with a stop the words
    are too few and too short. Languages are BCP-47.
    """
    pair = (source_language.partition("-")[0], target_language.partition("-")[0])
    band = LENGTH_BANDS.get(pair, ANY_PAIR)
    bare = _MARKS.sub("", source)
    length = len(bare)
    deviation = band.deviation(length, len(output))
    unfinished = bool(_FINISHED.search(source)) and not _FINISHED.search(output)
    shortest = band.shortest_unfinished if unfinished else band.shortest
    if pair in HALVED and length >= THRESHOLDS.half_source:
        short = (deviation < 0 and is_half(bare, output)) or (unfinished and deviation < shortest)
    else:
        short = deviation < shortest
    if not short and deviation <= band.longest:
        return []
    detail = (
        f"{len(output)} code points for {length} where about {band.expected(length):.0f} are usual"
    )
    return [Finding(Kind.LENGTH_RATIO, None, Span(0, len(output)), detail)]


def find_empty(source: str, output: str) -> list[Finding]:
    """Whether nothing that can be read was written for a source with letters."""
    if _CONTENT.search(output) or not _LETTER.search(source):
        return []
    return [Finding(Kind.EMPTY_OUTPUT, Span(0, len(source)), None, "nothing was written")]


def find_truncated(output: str, *, cut: bool) -> list[Finding]:
    """Whether the model was stopped before it wrote its end of sequence."""
    if not cut:
        return []
    last = output.rstrip()
    place = Span(max(last.rfind(" ") + 1, 0), len(last))
    return [Finding(Kind.TRUNCATED, None, place, "the output reached its most tokens")]


def find_longer_than_source(source: str, output: str) -> list[Finding]:
    """Whether a summary is longer than what it summarizes."""
    if len(output) <= max(len(source), THRESHOLDS.short_source):
        return []
    detail = f"{len(output)} code points for {len(source)}"
    return [Finding(Kind.LENGTH_RATIO, None, Span(0, len(output)), detail)]
