"""Which scripts a text is written in, and what that says about its language."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import regex

from khulasa_server.text import verbatim

_LANGUAGES: Final = {
    "Arabic": "ar ckb fa ks ps sd ug ur",
    "Latin": "af az bs ca cs cy da de en es et eu fi fr ga gd gl ha hr hu id ig is it lb lt lv ms "
    "mt nl no om pcm pl pt rn ro rw sk sl so sq sr sv sw tl tr uz vi yo zu",
    "Cyrillic": "be bg kk ky mk mn ru sr tg tt uk uz",
    "Devanagari": "hi mr ne sa",
    "Bengali": "as bn",
    "Han": "ja ko yue zh",
    "Hiragana": "ja",
    "Katakana": "ja",
    "Hangul": "ko",
    "Hebrew": "he yi",
    "Greek": "el",
    "Ethiopic": "am ti",
    "Gujarati": "gu",
    "Gurmukhi": "pa",
    "Kannada": "kn",
    "Malayalam": "ml",
    "Oriya": "or",
    "Tamil": "ta",
    "Telugu": "te",
    "Sinhala": "si",
    "Thai": "th",
    "Lao": "lo",
    "Khmer": "km",
    "Myanmar": "my",
    "Tibetan": "bo dz",
    "Georgian": "ka",
    "Armenian": "hy",
    "Thaana": "dv",
    "Syriac": "syr",
}
"""Script, by its Unicode name → languages written in it, the 45 of XLSum among them; the commonest
scripts first. Serbian and Uzbek are written in two."""

_CODES: Final = {
    "arab": "Arabic", "latn": "Latin", "cyrl": "Cyrillic", "deva": "Devanagari",
    "beng": "Bengali", "hani": "Han", "hans": "Han", "hant": "Han", "guru": "Gurmukhi",
    "hebr": "Hebrew", "grek": "Greek",
}  # fmt: skip
"""ISO 15924 codes that tags name, in lower case."""

_SOLE_LANGUAGE: Final = {
    "Arabic": "ar",
    "Han": "zh",
    "Hiragana": "ja",
    "Katakana": "ja",
    "Hangul": "ko",
    "Greek": "el",
    "Hebrew": "he",
    "Thai": "th",
    "Lao": "lo",
    "Khmer": "km",
    "Georgian": "ka",
    "Armenian": "hy",
}

# Tatweel and the modifiers beside it (`ـ`, `ː`, `々`) lengthen or repeat: alone they are no word.
_LETTER: Final = r"[\p{Lu}\p{Ll}\p{Lt}\p{Lo}]"
_LETTERS = regex.compile(_LETTER)


def has_letters(text: str) -> bool:
    """Whether `text` holds a letter of any script; tatweel and combining marks are none."""
    return _LETTERS.search(text) is not None


def has_letters_of(text: str, language: str) -> bool:
    """Whether `text` holds a letter of a script that `language` is written in.

    Presentation forms are letters of their script. Of a language that this table does not
    know, every letter counts.

    Args:
        text: any text.
        language: BCP-47 code; a script in it (`sr-Latn`) is heeded.
    """
    return _letters_of(language).search(text) is not None


def is_translatable(text: str, language: str) -> bool:
    """Whether `text` holds letters of `language` outside addresses, mentions and emoji.

    Where it does not, the text is copied.
    """
    return has_letters_of(text, language) and has_letters_of(verbatim.without(text), language)


def dominant_script(text: str) -> str:
    """Unicode name of the script most letters of `text` are of, as `Arabic` or `Latin`.

    `Unknown` for letters of a script that no known language is written in; empty where there
    are no letters.
    """
    letters = "".join(_LETTERS.findall(text))
    rest = len(letters)
    best, most = ("Unknown" if letters else ""), 0
    for script in _LANGUAGES:
        if most >= rest:
            return best
        found = len(_letters_in(script).findall(letters))
        rest -= found
        if found > most:
            best, most = script, found
    return best if most >= rest else "Unknown"


def language_of(text: str) -> str:
    """The language that the script of `text` stands for: `ar` for Arabic script.

    Empty where many languages share it, as Latin and Cyrillic, and where there are no letters.
    """
    script = dominant_script(text)
    if script == "Han" and _letters_in("Hiragana", "Katakana").search(text):
        return "ja"
    return _SOLE_LANGUAGE.get(script, "")


@lru_cache(maxsize=64)
def _letters_in(*scripts: str) -> regex.Pattern[str]:
    names = "".join(rf"\p{{Script={script}}}" for script in scripts)
    return regex.compile(rf"(?V1)[{_LETTER}&&[{names}]]")


@lru_cache(maxsize=256)
def _letters_of(language: str) -> regex.Pattern[str]:
    subtags = language.replace("_", "-").casefold().split("-")
    named = [_CODES[subtag] for subtag in subtags[1:] if subtag in _CODES]
    known = [script for script, codes in _LANGUAGES.items() if subtags[0] in codes.split()]
    scripts = named or known
    return _letters_in(*scripts) if scripts else _LETTERS
