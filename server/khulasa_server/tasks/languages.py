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


def language_of(text: str, catalog: Catalog) -> str:
    """A served summarization language in the script of most letters of `text`.

    `ar` where there are no letters.

    Raises:
        InvalidRequestError: LANGUAGE_MISMATCH: no served language is written in it.
    """
    served = {
        code
        for model in catalog.of_task(Task.SUMMARIZE)
        for code in model.manifest.source_language_codes
    }
    if not served or not has_letters(text):
        return PREFERRED[0]
    ranked = sorted(
        served,
        key=lambda code: (
            code not in PREFERRED,
            PREFERRED.index(code) if code in PREFERRED else 0,
            code,
        ),
    )
    for code in ranked:
        if has_letters_of(text, code):
            return code
    raise mismatch(" or ".join(ranked), dominant_script(text), "text")
