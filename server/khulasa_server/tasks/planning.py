"""From a text to the segments that a model runs on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from khulasa_server.text.fitting import fit
from khulasa_server.text.masking import Masked, mask
from khulasa_server.text.scripts import is_translatable
from khulasa_server.text.segmentation import split
from khulasa_server.text.spans import Span

if TYPE_CHECKING:
    from khulasa_server.engines.base import Tokens
    from khulasa_server.tasks.routing import Route


_NOTHING_MASKED: Final = Masked("", {})


@dataclass(frozen=True, slots=True)
class Planned:
    """A segment, or a part of one, before the model has seen it.

    Args:
        span: where it is.
        tokens: what the model reads; None: it is copied.
        masked: what stands in for addresses, tags, mentions and emoji in it.
    """

    span: Span
    tokens: Tokens | None
    masked: Masked = _NOTHING_MASKED


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


def plan_part(text: str, span: Span, route: Route) -> Planned:
    """A part of `text` that the model can take whole, or that has nothing to translate."""
    part = span.of(text)
    if not is_translatable(part, route.source):
        return Planned(span, None)
    masked = mask(part)
    return Planned(span, route.tokenize([masked.text])[0], masked)


def plan_parts(text: str, span: Span, limit: int, route: Route) -> list[Planned]:
    """The same of a part that has more than `limit` tokens; no cut is inside an address."""
    parts = fit(text, span, limit, lambda part: route.count(mask(part).text))
    return [plan_part(text, part, route) for part in parts]


def _plan_sentence(text: str, span: Span, route: Route) -> list[Planned]:
    whole = plan_part(text, span, route)
    limit = route.manifest.limits.segment_tokens
    if whole.tokens is None or len(whole.tokens) <= limit:
        return [whole]
    return plan_parts(text, span, limit, route)
