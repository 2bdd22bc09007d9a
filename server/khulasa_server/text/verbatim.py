"""What is never translated, whatever its letters: addresses, tags, mentions, emoji."""

from __future__ import annotations

import regex

from khulasa_server.text.spans import Span

# Arabic marks end an address: they cannot be part of one, and writers leave no space before them.
# Neither are brackets that it does not open itself, nor marks that no letter follows.
_IN_ADDRESS = r"[^\s،؛؟«»<>\"()]|\([^\s()]*+\)"
_ADDRESS = (
    rf"(?:(?:https?|ftp)://|www\.)(?:{_IN_ADDRESS})*(?:[\w/=&#%~+-]|\([^\s()]*+\))"
    r"|(?<![\w@.-])(?:[A-Za-z0-9-]{1,63}\.){1,8}"
    r"(?:com|org|net|edu|gov|info|io|int|mil|app|dev|[a-z]{2}(?=/))(?![\w-])(?:/[A-Za-z0-9/_.%~-]*[\w/])?"
)
# Bounded, so that a word of thousands of letters costs no more than its length.
_MAIL = r"[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64})+"
_MENTION = r"(?<!\w)@\w{1,64}"
_TAG = r"(?<![\w&])\#(?=[\w\p{M}]*\p{L})[\w\p{M}\u200c]{1,100}"
_EMOJI_HEAD = r"[\p{Extended_Pictographic}\p{Regional_Indicator}]|[0-9#*]\ufe0f?\u20e3"
_EMOJI_TAIL = (
    r"[\p{Extended_Pictographic}\p{Regional_Indicator}\p{Emoji_Modifier}"
    r"\u200d\u20e3\ufe0e\ufe0f\U000e0020-\U000e007f]"
)

EMOJI = rf"(?:{_EMOJI_HEAD})(?:{_EMOJI_TAIL})*+"
"""Pattern of a run of emoji, with their joiners, modifiers and flags."""

_ANY = rf"(?:{_ADDRESS}|{_MAIL}|{_MENTION}|{_TAG}|{EMOJI})"
_VERBATIM = regex.compile(_ANY)
# Signs that are pictographs to Unicode and marks to writers: within a sentence they are prose.
_PROSE_SIGN = regex.compile(r"[©®™‼⁉ℹ↔-↪]+")
# Brackets and stops that touch an address stay with it.
_TOKEN = rf"[(\[<«\"“]*{_ANY}[)\]>»\"”.,،؛:!?؟…]*"
_LEADING = regex.compile(rf"(?:{EMOJI}|{_TOKEN}(?:\s+|$))(?:\s*(?:{EMOJI}|{_TOKEN}(?:\s+|$)))*+")
_WHOLE_TOKEN = regex.compile(_TOKEN)
_LAST_TOKEN = regex.compile(r"(?r)\S+\Z")
_LAST_EMOJI = regex.compile(rf"(?r)(?:{_EMOJI_TAIL})+\Z")
_EMOJI = regex.compile(EMOJI)
# A quick no for nearly every text.
_HINT = regex.compile(
    r"[@\#\p{Extended_Pictographic}\p{Regional_Indicator}\u20e3]|://|www\.|\.[a-z]{2}"
)


def without(text: str) -> str:
    """`text` with every address, tag, mention and emoji replaced by a space."""
    return _VERBATIM.sub(" ", text) if _HINT.search(text) else text


def runs(text: str) -> list[Span]:
    """Every address, tag, mention and run of emoji in `text`, in order."""
    if not _HINT.search(text):
        return []
    return [
        Span(*match.span())
        for match in _VERBATIM.finditer(text)
        if not _PROSE_SIGN.fullmatch(match[0])
    ]


def core(text: str, start: int, end: int) -> tuple[int, int]:
    """The part of `text[start:end]` left when verbatim tokens at its edges are set apart.

    Args:
        text: any text; `text[start:end]` neither begins nor ends with whitespace.
        start: first code point.
        end: after the last code point.

    Returns:
        Start and end of the rest, without whitespace at its edges; the whole range where
        nothing else is in it.
    """
    if not _HINT.search(text, start, end):
        return start, end
    leading = _LEADING.match(text, start, end)
    first = leading.end() if leading else start
    last = _before_trailing(text, first, end)
    return (first, last) if first < last else (start, end)


def _before_trailing(text: str, start: int, end: int) -> int:
    while start < end:
        head = _trailing_start(text, start, end)
        if head is None:
            return end
        end = head
        while start < end and text[end - 1].isspace():
            end -= 1
    return end


def _trailing_start(text: str, start: int, end: int) -> int | None:
    """Where the last verbatim token before `end` begins."""
    token = _LAST_TOKEN.search(text, start, end)
    if token and _WHOLE_TOKEN.fullmatch(text, token.start(), end):
        return int(token.start())
    emoji = _LAST_EMOJI.search(text, start, end)
    if emoji and _EMOJI.fullmatch(text, emoji.start(), end):
        return int(emoji.start())
    return None
