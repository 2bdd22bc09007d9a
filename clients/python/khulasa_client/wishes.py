"""What can be asked for besides the text: the keyword arguments that methods share."""

from __future__ import annotations

from typing import NamedTuple, TypedDict

from khulasa_client.values import Options  # noqa: TC001 - read by tools that show signatures


class TranslationArguments(TypedDict, total=False):
    """How to translate.

    Args:
        source: BCP-47 code of the text's language; by default `ar`.
        to: BCP-47 code of the language to translate to; by default `en`.
        model: name of the model; by default the one that serves the languages.
        options: how to compute the answer; by default as the model does.
    """

    source: str
    to: str
    model: str
    options: Options | None


class SummaryArguments(TypedDict, total=False):
    """How to summarize.

    Args:
        language: BCP-47 code of the text's language; by default told by its script.
        to: BCP-47 code of a language to translate the summary to; by default none.
        strategy: a `LongDocumentStrategy`; by default `LEAD`.
        model: name of the model that summarizes; by default the one that serves the language.
        translation_model: name of the model that translates; by default the one that serves the
            languages.
        options: how to compute the answer; by default as the model does.
    """

    language: str
    to: str
    strategy: str
    model: str
    translation_model: str
    options: Options | None


class TranslationWish(NamedTuple):
    """The same, with the defaults; an argument that does not exist is a TypeError."""

    source: str = ""
    to: str = ""
    model: str = ""
    options: Options | None = None


class SummaryWish(NamedTuple):
    """The same, with the defaults; an argument that does not exist is a TypeError."""

    language: str = ""
    to: str = ""
    strategy: str = ""
    model: str = ""
    translation_model: str = ""
    options: Options | None = None
