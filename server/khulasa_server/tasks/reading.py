"""What a summarizer reads of a text, run by run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from khulasa_server.tasks.values import Strategy
from khulasa_server.text import chunks
from khulasa_server.text.fitting import fit
from khulasa_server.text.segmentation import split

if TYPE_CHECKING:
    from khulasa_server.engines.base import Tokens
    from khulasa_server.tasks.routing import Route
    from khulasa_server.text.spans import Span


@dataclass(frozen=True, slots=True)
class Passage:
    """What one run reads: at most a window of tokens."""

    span: Span
    tokens: Tokens


@dataclass(frozen=True, slots=True)
class Reading:
    """Passages in the order of the text; `coverage` is code points in them ÷ all, 0 to 1."""

    passages: tuple[Passage, ...]
    coverage: float


def read(text: str, route: Route, strategy: Strategy) -> Reading:
    """The passages of a text that is not blank.

    LEAD is one passage, the leading sentences that fit the window; HIERARCHICAL covers the whole
    text in passages of whole sentences, cut inside a sentence only where it alone is longer.
    """
    window = route.manifest.limits.max_input_tokens
    spans = split(text, route.source)
    costs = [len(tokens) for tokens in route.tokenize([span.of(text) for span in spans])]
    sentences = chunks.measure(text, spans, costs, window, route.count)
    if strategy is Strategy.LEAD:
        planned = [chunks.lead(sentences, window)]
    else:
        planned = chunks.hierarchical(text, sentences, window)
    # Joined sentences may have more pieces than each by itself: measure again.
    fitted = [part for chunk in planned for part in fit(text, chunk.span, window, route.count)]
    kept = fitted[:1] if strategy is Strategy.LEAD else fitted
    tokens = route.tokenize([span.of(text) for span in kept])
    passages = tuple(Passage(*each) for each in zip(kept, tokens, strict=True))
    return Reading(passages, chunks.coverage(kept, text))
