"""Which writing systems a language uses."""

from __future__ import annotations

import regex

from khulasa_server.bundles.building.languages import canonical
from khulasa_server.bundles.errors import BuildError

_SCRIPTS = {
    "Arabic": "ar ckb fa ks ps sd ug ur",
    "Armenian": "hy",
    "Bengali": "as bn",
    "Cyrillic": "be bg kk ky mk mn ru sr tg tt uk",
    "Devanagari": "hi mr ne sa",
    "Ethiopic": "am ti",
    "Georgian": "ka",
    "Greek": "el",
    "Gujarati": "gu",
    "Gurmukhi": "pa",
    "Han": "ja yue zh",
    "Hangul": "ko",
    "Hebrew": "he yi",
    "Hiragana": "ja",
    "Kannada": "kn",
    "Katakana": "ja",
    "Khmer": "km",
    "Lao": "lo",
    "Latin": (
        "af az ca ceb cs cy da de en eo es et eu fi fil fr fy ga gd gl ha haw hmn ht hu id ig is "
        "it jv ku la lb lt lv mg mi ms mt nb nl nn no ny om pcm pl pt rn ro sk sl sm sn so sq sr "
        "st su sv sw tr uz vi xh yo zu"
    ),
    "Malayalam": "ml",
    "Myanmar": "my",
    "Oriya": "or",
    "Sinhala": "si",
    "Tamil": "ta",
    "Telugu": "te",
    "Thai": "th",
}


def scripts_of(language: str) -> frozenset[str]:
    """Unicode names of a language's scripts.

    Raises:
        BuildError: nothing is known of the language.
    """
    base = canonical(language).partition("-")[0]
    found = frozenset(script for script, users in _SCRIPTS.items() if base in users.split())
    if not found:
        raise BuildError(f"the script of {language!r} is not known here: keep pieces by a corpus")
    return found


def written_in(scripts: frozenset[str]) -> regex.Pattern[str]:
    """Matches text all of whose characters are of these scripts, or of no script in particular."""
    classes = "".join(rf"\p{{Script={script}}}" for script in sorted({*scripts, *_NO_SCRIPT}))
    return regex.compile(f"[{classes}]*")


_NO_SCRIPT = ("Common", "Inherited")
