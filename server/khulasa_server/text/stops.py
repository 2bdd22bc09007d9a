"""Which of the stops that ICU takes for the end of a sentence are none."""

from __future__ import annotations

from typing import Final

import regex

_CONTEXT: Final = 48
"""Code points looked at before a stop: longer than any abbreviation with its brackets."""

# fmt: off
_TITLES: Final = frozenset({
    "capt", "col", "dr", "e.g", "gen", "gov", "hon", "i.e", "jr", "lt", "maj", "mme", "mr", "mrs",
    "ms", "mt", "pres", "prof", "rep", "rev", "sen", "sgt", "sr", "st", "v", "vs",
})
# fmt: on
"""Latin abbreviations that a name or an example follows, in lower case without the stop."""

_BEFORE_NUMBERS: Final = frozenset({"art", "ca", "fig", "no", "nos", "nr", "p", "pp", "vol"})
"""The same, where a number follows."""

# `د.`, `هـ.`, `م.ن.`, and `ود.` for "and Dr."
_ARABIC_INITIALS = regex.compile(r"و[دأم]\p{M}*+ـ*+\.|(?:(?=\p{Arabic})\p{L}\p{M}*+ـ*+\.)+")
# `J.`, `U.S.`, `p.m.`; the pronoun is none.
_INITIALS = regex.compile(r"(?!I\.\Z)\p{Lu}\p{M}*+\.|(?:\p{L}\p{M}*+\.){2,}")
_ELLIPSIS = regex.compile(r"(?:\.{3,}|…)[\p{Pe}\p{Pf}\"']*+\Z")
_OPENING: Final = "([{<«“‘\"'"
_ADDRESS_SIGNS: Final = frozenset("_/=&%#?+-.@~")


def is_false(text: str, at: int) -> bool:
    """Whether the sentence goes on at `at`, a break inside a line of `text`.

    Args:
        text: the original text.
        at: where the next sentence would begin, after the whitespace; inside the text.
    """
    left = text[max(0, at - _CONTEXT) : at]
    before = left.rstrip()
    following = text[at]
    if len(before) == len(left):
        return _is_glued(following) or _is_abbreviated(before, following, glued=True)
    return (
        # `"Run!" she said`, `the users of Yahoo! and …`
        following.islower() or _is_abbreviated(before, following) or _trails_off(before, following)
    )


def _is_glued(following: str) -> bool:
    """Whether a stop right before `following` is inside an address or a file's name."""
    return following.isascii() and (following.isalnum() or following in _ADDRESS_SIGNS)


def _is_abbreviated(before: str, following: str, *, glued: bool = False) -> bool:
    if not before.endswith("."):
        return False
    words = before.rsplit(None, 2)
    word = words[-1].lstrip(_OPENING)
    if _ARABIC_INITIALS.fullmatch(word):
        # After a number it is a unit or an era (`٣٠٠ ق.م.`), which often ends a sentence.
        return glued or not (len(words) > 1 and words[-2][-1].isdigit())
    stem = word[:-1].casefold()
    return (
        _INITIALS.fullmatch(word) is not None
        or stem in _TITLES
        or (stem in _BEFORE_NUMBERS and following.isdigit())
    )


def _trails_off(before: str, following: str) -> bool:
    """Whether an ellipsis stands inside a sentence.

    Only scripts with capital letters can tell, and ICU looks at those. Elsewhere a pause is
    likelier than an end. Two dots, the newspapers' full stop between clauses, end a segment.
    """
    return _ELLIPSIS.search(before) is not None and following == following.swapcase()
