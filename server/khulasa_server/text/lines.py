"""The lines of a text: which breaks end a segment, and which marks open a list item."""

from __future__ import annotations

from typing import Final

import regex

from khulasa_server.text.spans import Span
from khulasa_server.text.verbatim import EMOJI

_SHORTEST_WRAP: Final = 40
_LONGEST_WRAP: Final = 120
"""Code points a line: nobody wraps prose by hand outside these widths."""

_ODD = regex.compile("[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029…\ud800-\udfff]")
_PLAIN: Final = {
    **dict.fromkeys(map(ord, "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), "\n"),
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),
    ord("…"): ".",
}

_INVISIBLE = r"[[\s--\n]\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\u061c]"
# Signs that open an item even where no space follows.
_BULLET = r"[•◦‣⁃∙▪▫■□●○◆◇►▶➢➤★☆☐☑☒✓✔✗✘٭]"
# Signs that are also minus, hyphen or comparison: an item only where a space or, for a dash,
# an Arabic letter follows.
_SIGN = r"(?:[-–—](?=\s|\p{Arabic})|(?:[*+>·]|\#{1,6})(?=\s))"
# `1.`, `٢)`, `(3)`, `4-`, `5 -`, `1.2.`; more than three digits are a year. A number that touches
# the next word opens an item in Arabic only: elsewhere `5-star` is one word.
_NUMBER = r"""(?:
    [(\[]?\d{1,3}(?:\.\d{1,3})*[.)\]–-]+ (?:(?=\s)|(?=\p{Arabic}))
  | \d{1,3}[\ \t][-–)](?=\s++[^\d\s])
  | [①-⓿❶-➓]
)"""
_MARK = regex.compile(
    rf"(?mxV1) ^[\s--\n]*+ ( {_INVISIBLE}*+ (?: {EMOJI} "
    rf"| (?:{_BULLET}|{_SIGN}) (?:{_INVISIBLE}*+{_NUMBER})? | {_NUMBER} ) )"
)


def plain(text: str) -> str:
    """A text of the same length in which every line break that ends a segment is a newline.

    Breaks inside hand-wrapped prose become spaces, `…` becomes a full stop and lone surrogates
    the replacement character, so that ICU sees what a reader sees.
    """
    text = text.replace("\r\n", " \n")
    if _ODD.search(text):
        text = text.translate(_PLAIN)
    soft = _soft_breaks(text)
    if not soft:
        return text
    points = list(text)
    for at in soft:
        points[at] = " "
    return "".join(points)


def list_marks(text: str) -> list[Span]:
    """Marks that open a line of `text`, which comes from `plain`: bullets, numbers, emoji.

    A mark that holds a letter, as in `أ)`, is none: it is translated with its item.
    """
    return [Span(*match.span(1)) for match in _MARK.finditer(text)]


def _soft_breaks(text: str) -> list[int]:
    """Offsets of the line breaks inside prose wrapped by hand.

    A line was wrapped where the first word of the next one had no room on it. A single such
    line may be chance (a headline above a longer one); two in a row are not.
    """
    if text.count("\n") < 2:  # noqa: PLR2004 - two breaks are the least that can prove a habit
        return []
    lines = text.split("\n")
    full = _full_lines([line.strip() for line in lines])
    breaks, end = [], -1
    for number, line in enumerate(lines[:-1]):
        end += len(line) + 1
        if full[number] and (full[number - 1] or full[number + 1]):
            breaks.append(end)
    return breaks


def _full_lines(lines: list[str]) -> list[bool]:
    """Whether each line had no room for the first word of the next; the last one is False."""
    widths = _block_widths(lines)
    return [
        _SHORTEST_WRAP <= width <= _LONGEST_WRAP
        and following != ""
        and len(line) + 1 + len(following.split(None, 1)[0]) > width
        and not _MARK.match(following)
        for line, following, width in zip(lines, [*lines[1:], ""], widths, strict=True)
    ]


def _block_widths(lines: list[str]) -> list[int]:
    """For each line the longest of its block; blank lines part blocks and have width 0."""
    widths: list[int] = []
    block = 0
    for line in [*lines, ""]:
        if line:
            block += 1
            continue
        longest = max(map(len, lines[len(widths) : len(widths) + block]), default=0)
        widths += [longest] * block + [0]
        block = 0
    return widths[: len(lines)]
