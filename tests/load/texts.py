"""Real Arabic text of wanted lengths, from the sentences in tests/data."""

from __future__ import annotations

import re
from itertools import cycle, islice
from typing import TYPE_CHECKING, Final

import numpy as np
from tests.load.standins import ROOT

from khulasa_server.engines.pieces import Pieces
from khulasa_server.text.normalization import normalize
from khulasa_server.text.segmentation import split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from khulasa_server.bundles.store import Bundle
    from khulasa_server.engines.base import Tokens

DATA: Final = ROOT / "tests" / "data"
SHORTEST, LONGEST = 3, 120
"""Tokens of sentences of mixed lengths, end of sequence included."""


def news() -> list[str]:
    """Sentences of news and encyclopedia articles (PUD)."""
    return _arabic("pud.ar-en.tsv")


def everyday() -> list[str]:
    """Short everyday sentences (Tatoeba)."""
    return _arabic("engines/tatoeba.ar-en.tsv")


def _arabic(name: str) -> list[str]:
    lines = (DATA / name).read_text("utf-8").splitlines()
    return [line.split("\t")[0] for line in lines]


def sentences(
    count: int, seed: int = 1, wanted: Callable[[str], bool] = lambda _: True
) -> list[str]:
    """News and everyday sentences in random order, each one segment; repeated if too few.

    Args:
        count: how many.
        seed: of their order.
        wanted: which of them may be taken.
    """
    every = (*news(), *everyday())
    single = [text for text in every if len(split(text, "ar")) == 1 and wanted(text)]
    chosen = list(islice(cycle(single), count))
    np.random.default_rng(seed).shuffle(chosen)
    return chosen


def tokenizer(bundle: Bundle) -> Callable[[str], Tokens]:
    """What a served model reads for a text: normalized, in pieces."""
    pieces = Pieces.of_bundle(bundle.path, bundle.manifest)
    return lambda text: pieces.encode([normalize(text).text])[0]


def mixed_lengths(count: int, tokenize: Callable[[str], Tokens], seed: int = 1) -> list[str]:
    """Single segments of 3 to 120 tokens, the number of tokens above 2 by Zipf's law (exponent 1).

    Words of news in their order, so that pieces are those of real text; whole sentences would not
    have the wanted lengths.
    """
    generator = np.random.default_rng(seed)
    lengths = np.arange(SHORTEST, LONGEST + 1)
    weights = 1.0 / (lengths - SHORTEST + 1)
    wanted = generator.choice(lengths, size=count, p=weights / weights.sum())
    words = _words(int(generator.integers(1_000)))
    return [_text_of(int(length), words, tokenize) for length in wanted]


def documents(count: int, tokens: int, tokenize: Callable[[str], Tokens]) -> list[str]:
    """Different texts of news that a model reads as exactly, or a little over, `tokens` tokens."""
    words = _words(0)
    return [_text_of(tokens, words, tokenize) for _ in range(count)]


def _words(first: int) -> Iterator[str]:
    """Words of the news without end, no punctuation that could end a sentence."""
    words = re.findall(r"\w+", " ".join(news()))
    return islice(cycle(words), first, None)


def _text_of(tokens: int, words: Iterator[str], tokenize: Callable[[str], Tokens]) -> str:
    """A text of about `tokens` tokens, at most that many where more than a word is in it."""
    text = next(words)
    while len(tokenize(text)) < tokens:
        longer = f"{text} {next(words)}"
        if len(tokenize(longer)) > tokens:
            break
        text = longer
    return text
