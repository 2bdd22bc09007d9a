"""Languages that share a script with the one that was asked for."""

from __future__ import annotations

import regex

from khulasa_server.guards.findings import Finding, Kind
from khulasa_server.guards.thresholds import THRESHOLDS
from khulasa_server.text.spans import Span

_LETTER = regex.compile(r"[\p{Arabic}&&\p{L}]", regex.VERSION1)
# Presentation forms tell nothing: one set serves all languages of the script.
_FOREIGN = regex.compile(
    r"[\p{Arabic}&&\p{L}--[ء-غف-يٱـ]--[\uFB50-\uFDFF\uFE70-\uFEFF]]", regex.VERSION1
)


def doubt_language(text: str, language: str) -> list[Finding]:
    """Whether a text given as Arabic is likely Persian, Urdu or another language of the script.

    `language` is what the caller said, BCP-47. Only Arabic is checked.
    """
    if language.partition("-")[0].lower() != "ar" or not (foreign := _FOREIGN.findall(text)):
        return []
    share = len(foreign) / len(_LETTER.findall(text))
    if share <= THRESHOLDS.foreign_letters:
        return []
    letters = " ".join(sorted(set(foreign)))
    detail = f"{share:.0%} of the letters are not Arabic ones: {letters}"
    return [Finding(Kind.LANGUAGE_DOUBTFUL, Span(0, len(text)), None, detail)]
