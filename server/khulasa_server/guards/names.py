"""Names in Latin script that a summary in another script did not get from its article."""

from __future__ import annotations

import regex

from khulasa_server.guards.copying import is_latin
from khulasa_server.guards.findings import Finding, Kind, excerpt
from khulasa_server.text.spans import Span

# `(?<!\d)`: the unit in "5kg" and the letter in "39C" are no names.
_LATIN = regex.compile(r"(?<![\d\p{Latin}])\p{Latin}(?:[\p{Latin}\p{M}]|[.'’&](?=\p{Latin}))+")


def find_unsupported_names(source: str, output: str, language: str) -> list[Finding]:
    """Latin-script words of at least two letters in `output` that `source` lacks.

    Names in the language's own script are not checked: how a model spells or inflects those
    cannot be told from a mistake by looking at letters. A language written in Latin has none.
    """
    if is_latin(language) or not (found := list(_LATIN.finditer(output))):
        return []
    known = {match.group().casefold() for match in _LATIN.finditer(source)}
    return [
        Finding(Kind.NAME_UNSUPPORTED, None, Span(*match.span()), excerpt(match.group()))
        for match in found
        if match.group().casefold() not in known
    ]
