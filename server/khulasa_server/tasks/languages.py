"""Which language a text is in, as far as its script tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from khulasa_server.bundles.manifest import Task
from khulasa_server.errors import InvalidRequestError, Reason
from khulasa_server.text.scripts import dominant_script, has_letters, has_letters_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from khulasa_server.tasks.catalog import Catalog

PREFERRED = ("ar", "en")
"""Of the languages that share a script the first of these, else the first by code: enough for
sentence borders, which is all that a summarizer of many languages needs to be told."""


def require_language(texts: Sequence[str], language: str, field: str) -> None:
    """Refuse a request that as a whole is in another language.

    Raises:
        InvalidRequestError: LANGUAGE_MISMATCH: there are letters, and none is of the language.
    """
    if any(has_letters_of(text, language) for text in texts) or not any(map(has_letters, texts)):
        return
    raise mismatch(language, dominant_script("".join(texts)), field)


def mismatch(language: str, script: str, field: str) -> InvalidRequestError:
    """The error that tells which script was found instead of the language's."""
    return InvalidRequestError(
        Reason.LANGUAGE_MISMATCH,
        f"{field} holds no letter of language {language}; its letters are {script}",
        field=field,
        metadata={"language": language, "script": script},
    )


def language_of(text: str, catalog: Catalog, *, lenient: bool) -> str:
    """A served summarization language in the script of most letters of `text`.

    Where none is, one in the script of any letter; where there are no letters, `ar` if it is
    served. `lenient`: where all letters are of other scripts, the same.

    Raises:
        InvalidRequestError: LANGUAGE_MISMATCH: no served language is written in it.
    """
    ranked = _ranked(catalog)
    for letters in (_sample(text), text):
        for code in ranked:
            if has_letters_of(letters, code):
                return code
    if lenient or not ranked or not has_letters(text):
        return ranked[0] if ranked else PREFERRED[0]
    raise mismatch(" or ".join(ranked), dominant_script(text), "text")


def _ranked(catalog: Catalog) -> list[str]:
    served = {
        code
        for model in catalog.of_task(Task.SUMMARIZE)
        for code in model.manifest.source_language_codes
    }
    preferred = [code for code in PREFERRED if code in served]
    return [*preferred, *sorted(served.difference(preferred))]


def _sample(text: str) -> str:
    """One letter of the script that most letters are of; empty where there is none."""
    script = dominant_script(text)
    alphabet = filter(has_letters, dict.fromkeys(text))
    return next((letter for letter in alphabet if dominant_script(letter) == script), "")
