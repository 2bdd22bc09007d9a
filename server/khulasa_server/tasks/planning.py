"""From a text to the segments that a model runs on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from khulasa_server.text.fitting import fit
from khulasa_server.text.scripts import is_translatable
from khulasa_server.text.segmentation import split
from khulasa_server.text.spans import Span

if TYPE_CHECKING:
    from khulasa_server.engines.base import Tokens
    from khulasa_server.tasks.routing import Route


@dataclass(frozen=True, slots=True)
class Planned:
    """A segment before the model has seen it; no `tokens`: it is copied."""

    span: Span
    tokens: Tokens | None


def plan(text: str, route: Route) -> list[Planned]:
    """Segments whose spans, with the whitespace between, tile `text`.

    Each has at most the model's soft limit of tokens. A segment without a letter of the source
    language outside addresses and mentions (a URL, a number, a line in another script) has
    nothing to translate; neither has a blank text, which is one segment.
    """
    planned: list[Planned] = []
    for span in split(text, route.source):
        planned.extend(_plan_sentence(text, span, route))
    return planned or [Planned(Span(0, len(text)), None)]


def _plan_sentence(text: str, span: Span, route: Route) -> list[Planned]:
    whole = _plan_part(text, span, route)
    limit = route.manifest.limits.segment_tokens
    if whole.tokens is None or len(whole.tokens) <= limit:
        return [whole]
    return [_plan_part(text, part, route) for part in fit(text, span, limit, route.count)]


def _plan_part(text: str, span: Span, route: Route) -> Planned:
    part = span.of(text)
    if not is_translatable(part, route.source):
        return Planned(span, None)
    return Planned(span, route.tokenize([part])[0])
