"""ROUGE for every script, comparable with what XL-Sum's authors published.

The common implementation of ROUGE takes everything but a-z and 0-9 for a space, so that of an
Arabic summary nothing is left to compare. The authors' cuts at Unicode punctuation and between
letters and digits, as is done here; where their package is installed it is used itself, with its
stemmers.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass
from importlib import metadata
from statistics import fmean
from typing import TYPE_CHECKING, Any

import regex

from khulasa_server.bundles.building.tools import require

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

KINDS = ("rouge1", "rouge2", "rougeL")

# Ideographs and signs such as € are words of their own; marks belong to their letter.
_WORD = regex.compile(r"\p{Han}|[[\p{L}\p{M}]--\p{Han}]+|\p{N}+|[\p{S}--\p{ASCII}]", regex.VERSION1)
_LANGUAGES = {
    "ar": "arabic",
    "bn": "bengali",
    "en": "english",
    "es": "spanish",
    "fr": "french",
    "hi": "hindi",
    "pt": "portuguese",
    "ru": "russian",
    "tr": "turkish",
}


@dataclass(frozen=True, slots=True)
class Rouge:
    """Mean F1 over all pairs.

    Args:
        values: kind → 0 to 100.
        signature: how they were computed.
    """

    values: dict[str, float]
    signature: str


def words(text: str) -> list[str]:
    """Words and numbers of a text, in lower case, without punctuation and control characters."""
    # A line break is a control character and separates words all the same.
    visible = " ".join(map(_visible, text.lower().split()))
    return _WORD.findall(visible)


def _visible(word: str) -> str:
    return "".join(char for char in word if not unicodedata.category(char).startswith("C"))


def rouge(outputs: Sequence[str], references: Sequence[str], language: str) -> Rouge:
    """ROUGE-1, -2 and -L of summaries.

    Args:
        outputs: what a model wrote.
        references: what people wrote, one an output.
        language: BCP-47 code, for the stemmer.
    """
    score, signature = _scorer(language)
    rows = [score(reference, output) for reference, output in zip(references, outputs, strict=True)]
    values = {kind: 100.0 * fmean(row[kind] for row in rows) if rows else 0.0 for kind in KINDS}
    return Rouge(values, signature)


def _scorer(language: str) -> tuple[Callable[[str, str], dict[str, float]], str]:
    try:
        version = metadata.version("multilingual-rouge")
    except metadata.PackageNotFoundError:
        return score, f"rouge|lang:{language}|case:lc|tok:unicode|stem:none"
    return _authors(language, version)


def _authors(language: str, version: str) -> tuple[Callable[[str, str], dict[str, float]], str]:
    make: Any = require("multilingual_rouge.rouge_scorer").RougeScorer
    name = _LANGUAGES.get(language)
    stem = f"stem:{name}" if name else "stem:none"
    try:
        scorer: Any = make(KINDS, use_stemmer=bool(name), lang=name)
    except LookupError:
        # Their stemmer spares stop words, which NLTK wants to download.
        stemmer = require("nltk.stem").SnowballStemmer(name).stem
        scorer = make(KINDS, use_stemmer=True, lang=name, callable_stemmer=stemmer)
        stem += "-without-stopwords"

    def authors(reference: str, output: str) -> dict[str, float]:
        return {kind: one.fmeasure for kind, one in scorer.score(reference, output).items()}

    return authors, f"multilingual-rouge|version:{version}|lang:{language}|{stem}"


def score(reference: str, output: str) -> dict[str, float]:
    """F1 of each kind for one pair, 0 to 1, nothing stemmed."""
    wanted, written = words(reference), words(output)
    return {
        "rouge1": _overlap(wanted, written, 1),
        "rouge2": _overlap(wanted, written, 2),
        "rougeL": _f1(_longest_common(wanted, written), len(wanted), len(written)),
    }


def _overlap(wanted: Sequence[str], written: Sequence[str], size: int) -> float:
    left, right = _ngrams(wanted, size), _ngrams(written, size)
    return _f1((left & right).total(), left.total(), right.total())


def _ngrams(tokens: Sequence[str], size: int) -> Counter[tuple[str, ...]]:
    places = range(len(tokens) - size + 1)
    return Counter(tuple(tokens[place : place + size]) for place in places)


def _f1(common: int, wanted: int, written: int) -> float:
    return 2.0 * common / (wanted + written) if common else 0.0


def _longest_common(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(right) + 1)
    for one in left:
        diagonal = 0
        for place, other in enumerate(right, start=1):
            above = row[place]
            row[place] = diagonal + 1 if one == other else max(above, row[place - 1])
            diagonal = above
    return row[-1]
