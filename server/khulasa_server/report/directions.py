"""In which direction a text runs."""

from __future__ import annotations

from typing import Final

from khulasa_server.text.scripts import dominant_script

_RIGHT_TO_LEFT: Final = {"Arabic", "Hebrew", "Syriac", "Thaana"}


def direction(text: str) -> str:
    """`rtl` or `ltr` by the script of most letters; `auto` where there are none.

    HTML's own `auto` goes by the first letter: an Arabic text that begins with a Latin name
    would run the wrong way.
    """
    script = dominant_script(text)
    if not script:
        return "auto"
    return "rtl" if script in _RIGHT_TO_LEFT else "ltr"
