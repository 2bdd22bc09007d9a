"""Words reduced to what they share with their other forms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import Stemmer

from khulasa_server.guards.words import forms_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_LANGUAGES = {
    "ar": "arabic",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "fr": "french",
    "hi": "hindi",
    "id": "indonesian",
    "ne": "nepali",
    "pt": "portuguese",
    "ru": "russian",
    "sr": "serbian",
    "ta": "tamil",
    "tr": "turkish",
}

# Words that any two Arabic texts share.
_ARABIC = (
    "في من على الى إلى عن مع هذا هذه ذلك تلك التي الذي الذين اللذين أن ان إن أنه أنها كان كانت "
    "يكون تكون هو هي هم ما لا لم لن قد لقد ثم أو او أم كل بعض بعد قبل عند بين حول خلال ضمن كيفية "
    "كيف هناك هنا تم يتم كما أي اي غير حيث إذا اذا لكن بل حتى منذ لها له لهم به بها بهم فيها فيه "
    "منها منه عليها عليه عنه عنها إليه إليها لدى أكثر أيضا أيضاً سوف ليس ليست التى والتي والذي"
)
_FUNCTION_WORDS = frozenset(_ARABIC.split())


def stems_of(text: str, language: str) -> set[str]:
    """Stems of the words of `text` that say something, in a BCP-47 `language`.

    Arabic function words are left out; Latin words in any text are stemmed as English. Words of
    a language without a stemmer stay as they are.
    """
    stem, english = _stemmer(language), _stemmer("en")
    return {
        english(form) if form.isascii() else stem(form) for form in _content_words(forms_of(text))
    }


def _content_words(forms: Iterable[str]) -> Iterable[str]:
    known = _FUNCTION_WORDS
    return (f for f in forms if f not in known and not (f[0] == "و" and f[1:] in known))


def _stemmer(language: str) -> Callable[[str], str]:
    """One for each text, which takes a quarter of a microsecond: threads must not share one."""
    name = _LANGUAGES.get(language.partition("-")[0].lower())
    return Stemmer.Stemmer(name).stemWord if name else str
