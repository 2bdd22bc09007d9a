"""From a text to the segments that a model runs on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from khulasa_server.text.fitting import fit
from khulasa_server.text.scripts import has_letters_of
from khulasa_server.text.segmentation import split
from khulasa_server.text.spans import Span

if TYPE_CHECKING:
    from collections.abc import Callable

    from khulasa_server.engines.base import Engine, Tokens


@dataclass(frozen=True, slots=True)
class Planned:
    """A segment before the model has seen it; no `tokens`: it is copied."""

    span: Span
    tokens: Tokens | None


def counter(engine: Engine) -> Callable[[str], int]:
    """How many tokens the engine's model reads a text as, end of sequence included."""
    return lambda text: len(engine.tokenize([text])[0])


def plan(text: str, language: str, engine: Engine, limit: int) -> list[Planned]:
    """Segments of at most `limit` tokens whose spans, with the whitespace between, tile `text`.

    A segment without a letter of `language` (a URL, a number, a line in another script) has
    nothing to translate; neither has a blank text, which is one segment.
    """
    planned: list[Planned] = []
    for span in split(text, language):
        planned.extend(_plan_sentence(text, span, language, engine, limit))
    return planned or [Planned(Span(0, len(text)), None)]


def _plan_sentence(
    text: str, span: Span, language: str, engine: Engine, limit: int
) -> list[Planned]:
    sentence = span.of(text)
    if not has_letters_of(sentence, language):
        return [Planned(span, None)]
    tokens = engine.tokenize([sentence])[0]
    if len(tokens) <= limit:
        return [Planned(span, tokens)]
    parts = fit(text, span, limit, counter(engine))
    return [_plan_part(text, part, language, engine) for part in parts]


def _plan_part(text: str, span: Span, language: str, engine: Engine) -> Planned:
    part = span.of(text)
    if not has_letters_of(part, language):
        return Planned(span, None)
    return Planned(span, engine.tokenize([part])[0])
