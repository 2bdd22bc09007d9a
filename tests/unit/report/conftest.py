"""Answers as models could have made them, without models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from khulasa_server.tasks.values import ModelRef, Outcome, Segment, Translation, Usage
from khulasa_server.text.spans import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from khulasa_server.guards.findings import Finding


def translation_of(
    text: str, parts: Sequence[tuple[str, str]], *findings: Finding, score: float | None = -0.5
) -> Translation:
    """A translation of which each part of the text became the other; gaps stay as they are."""
    segments, output, read = [], "", 0
    for part, translated in parts:
        start = text.index(part, read)
        output += text[read:start]
        source, target = Span(start, start + len(part)), Span(0, len(translated))
        outcome = Outcome.COPIED if part == translated else Outcome.TRANSLATED
        segments.append(Segment(source, target.shift(len(output)), score, outcome))
        output, read = output + translated, source.end
    return Translation(
        text=output + text[read:],
        segments=tuple(segments),
        findings=findings,
        model=ModelRef("tiny", "sha256:0123456789abcdef"),
        usage=Usage(segments=len(segments), total=0.25),
        source_language_code="ar",
        target_language_code="en",
    )


@pytest.fixture(scope="session")
def make_translation() -> Callable[..., Translation]:
    """Makes translations: see `translation_of`."""
    return translation_of
