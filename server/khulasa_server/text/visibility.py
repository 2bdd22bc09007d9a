"""Whether there is anything to see in a text."""

from __future__ import annotations

from typing import Final

import regex

# Joiners, direction marks, byte order marks and controls take no place on paper.
_VISIBLE: Final = regex.compile(r"[^\s\p{Cc}\p{Cf}\p{Zs}\p{Zl}\p{Zp}]")


def is_blank(text: str) -> bool:
    """Whether `text` holds nothing but white space and invisible controls."""
    return _VISIBLE.search(text) is None
