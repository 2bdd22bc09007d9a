"""Whether an English translation from Arabic holds but a half of its source."""

from __future__ import annotations

import math
from typing import Final

import regex

from khulasa_server.guards.thresholds import HALF_WEIGHTS, THRESHOLDS
from khulasa_server.guards.words import forms_of

HALVED: Final = frozenset({("ar", "en")})
"""Pairs of languages that the weights were fitted to."""

_ARTICLES = regex.compile(r"(?<!\w)[وفبلك]{0,2}ال")
_CONJUNCTIONS = regex.compile(r"(?<!\w)و")
_PARTICLES = regex.compile(
    r"(?<!\w)(?:في|من|على|إلى|عن|مع|أن|إن|التي|الذي|هذا|هذه|قد|كان|كانت)(?!\w)"
)
_LATIN = regex.compile(r"[A-Za-z0-9٠-٩]")
# Acronyms and signs of currency: Arabic has several words for each.
_COMPACT = regex.compile(r"(?<!\w)[A-Z]{2,}(?!\w)|[A-Z]\.[A-Z]|[$€£]")
_MOST_COMPACT: Final = 4
_FUNCTION_WORDS: Final = frozenset(
    "a an and are as at be been by can for from had has have he his in is it its not of on or that"  # noqa: SIM905 - forty words in quotes would be harder to read
    " the their these they this to was were which who will with would her".split()
)


def is_half(source: str, output: str) -> bool:
    """Whether the lengths of `output` are rather those of a part of the translation.

    Args:
        source: Arabic, without marks.
        output: English.
    """
    terms = terms_of(source, output)
    logits = sum(HALF_WEIGHTS[name] * term for name, term in terms.items())
    missing = max(THRESHOLDS.half_sure - len(source), 0)
    return logits > THRESHOLDS.half + THRESHOLDS.half_doubt * missing


def terms_of(source: str, output: str) -> dict[str, float]:
    """What the weights weigh: logarithms of lengths, and how much of the source says little."""
    read, written = forms_of(source), forms_of(output)
    particles = len(_PARTICLES.findall(source))
    function_words = sum(form in _FUNCTION_WORDS for form in written)
    size, count = math.log(len(source) + 15), math.log(len(read) + 2)
    content = math.log(len(read) - particles + 2)
    longer = math.log(len(output) + 15) - size
    words = max(len(read), 1)
    return {
        "bias": 1.0,
        "letters": longer,
        "size": size,
        "letters_by_size": longer * size,
        "words": math.log(len(written) + 2) - count,
        "word_count": count,
        "content_words": math.log(len(written) - function_words + 2) - content,
        "content_word_count": content,
        "articles": len(_ARTICLES.findall(source)) / words,
        "conjunctions": len(_CONJUNCTIONS.findall(source)) / words,
        "particles": particles / words,
        "latin": len(_LATIN.findall(source)) / max(len(source), 1),
        "function_words": function_words / max(len(written), 1),
        "compact": min(len(_COMPACT.findall(output)), _MOST_COMPACT) / max(len(output.split()), 1),
    }
