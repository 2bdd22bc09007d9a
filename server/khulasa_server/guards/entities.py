"""URLs, addresses, tags and emoji, which translation must leave as they are."""

from __future__ import annotations

import re

import regex

from khulasa_server.guards.findings import Finding, Kind, excerpt
from khulasa_server.text.spans import Span

_ENTITY = regex.compile(
    r"(?:https?://|www\.)[^\s<>«»\"]*[\w/]"
    r"|(?<!\w)[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    r"|(?<!\w)[#@][\w\p{M}]+"
    # Digits, '#' and '©' are pictographic too and common in prose: only what shows as a picture.
    r"|\p{Regional_Indicator}{2}|\p{Emoji_Presentation}(?:\uFE0F|\p{EMod}|\u200D\p{Extended_Pictographic})*"
    r"|\p{Extended_Pictographic}\uFE0F"
)
# Almost no text holds any: whether to look at all is asked of the faster engine.
_HINT = re.compile(r"[@#\uFE0F\u231A-\u2BFF\U0001F000-\U0001FAFF]|://|www\.")


def find_missing_entities(source: str, output: str) -> list[Finding]:
    """What `source` holds of these and `output` does not hold letter by letter."""
    if _HINT.search(source) is None:
        return []
    return [
        Finding(Kind.ENTITY_MISSING, Span(*match.span()), None, excerpt(match.group()))
        for match in _ENTITY.finditer(source)
        if match.group() not in output
    ]
