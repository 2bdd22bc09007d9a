"""ROUGE for every script, comparable with what XL-Sum's authors published.

The common implementation of ROUGE takes everything but a-z and 0-9 for a space, so that of an
Arabic summary nothing is left to compare. The authors' cuts at Unicode punctuation and between
letters and digits, as is done here; where their package is installed it is used itself, with its
stemmers.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable
from importlib import metadata
from statistics import fmean
from typing import TYPE_CHECKING, Any

import regex

from khulasa_server.bundles.building.tools import require

if TYPE_CHECKING:
    from collections.abc import Sequence

KINDS = ("rouge1", "rouge2", "rougeL")

# Ideographs and signs such as € are words of their own; marks belong to their letter.
_WORD = regex.compile(r"\p{Han}|[[\p{L}\p{M}]--\p{Han}]+|\p{N}+|[\p{S}--\p{ASCII}]", regex.VERSION1)
_STEMMED = {
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
_SEGMENTED = {"ja": "japanese", "my": "burmese", "th": "thai", "zh": "chinese"}
"""Languages without spaces between words, which the authors cut with a tool for each."""

Score = Callable[[str, str], dict[str, float]]
"""From a reference and an output to F1 by kind, 0 to 1."""


class Rouge:
    """ROUGE-1, -2 and -L of summaries in one language.

    Args:
        language: BCP-47 code.
    """

    def __init__(self, language: str) -> None:
        self._score, self.signature = _scorer(language.partition("-")[0])

    def score(self, output: str, reference: str) -> dict[str, float]:
        """F1 of each kind for one output, 0 to 1."""
        return self._score(reference, output)

    def mean(self, outputs: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        """Mean F1 of each kind over all outputs, 0 to 100."""
        rows = [self.score(*pair) for pair in zip(outputs, references, strict=True)]
        return {kind: 100.0 * fmean(row[kind] for row in rows) if rows else 0.0 for kind in KINDS}


def words(text: str) -> list[str]:
    """Words and numbers of a text, in lower case, without punctuation and control characters."""
    # A line break is a control character and separates words all the same.
    visible = " ".join(map(_visible, text.lower().split()))
    return _WORD.findall(visible)


def _visible(word: str) -> str:
    return "".join(char for char in word if not unicodedata.category(char).startswith("C"))


def _scorer(language: str) -> tuple[Score, str]:
    try:
        version = metadata.version("multilingual-rouge")
    except metadata.PackageNotFoundError:
        return score, f"rouge|lang:{language}|case:lc|tok:unicode|stem:none"
    return _authors(language, version)


def _authors(language: str, version: str) -> tuple[Score, str]:
    make: Any = require("multilingual_rouge.rouge_scorer", extra="evaluate").RougeScorer
    stemmed = _STEMMED.get(language)
    settings: dict[str, Any] = {"lang": stemmed or _SEGMENTED.get(language)}
    stem = stemmed or "none"
    if stemmed:
        settings["use_stemmer"] = True
        if not _has_stop_words(stemmed):
            settings["callable_stemmer"] = require("nltk.stem").SnowballStemmer(stemmed).stem
            stem += "-without-stopwords"
    scorer = make(KINDS, **settings)

    def authors(reference: str, output: str) -> dict[str, float]:
        return {kind: one.fmeasure for kind, one in scorer.score(reference, output).items()}

    return authors, f"multilingual-rouge|version:{version}|lang:{language}|stem:{stem}"


def _has_stop_words(language: str) -> bool:
    """Whether a stemmer can spare stop words, as the authors' does.

    Their list is NLTK's, which is no package: `python -m nltk.downloader stopwords` gets it.
    """
    if language not in require("nltk.stem").SnowballStemmer.languages:
        return True
    try:
        return bool(require("nltk.corpus").stopwords.words(language))
    except LookupError:
        return False


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
