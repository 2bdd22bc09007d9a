"""Documents to be summarized, and what a summary of each is: its leading sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Sequence

    from training.batches import Example, Numbers

RUNNING: Final = (
    "bible_nav_web",
    "debian_handbook",
    "syrian_archive",
    "flores_dev",
    "xquad",
    "tico19/dev971",
    "open_sdg",
)
"""Sources whose rows follow each other as in a text."""

LOOSE: Final = ("tatoeba", "flores_dev", "syrian_archive")
"""Sources of sentences to be put together at random."""

END: Final = 1
"""mT5's end of sequence."""

LONGEST_SUMMARY: Final = 120
"""Pieces of a summary without its end; a sentence that is longer is not learned from."""
_FIRST_ORDINARY = 300
"""Pieces before it are control pieces and bytes, which no random sentence is made of."""
_ENDINGS = ".!؟?…:"
_SENTENCE = range(4, LONGEST_SUMMARY + 1)
_PIECES_A_SENTENCE = 22
_SHORT_DOCUMENT = 40


def sentence(text: str) -> str:
    """A text as a sentence: without the quotes around it, with a mark that ends it."""
    stripped = text.strip().strip('"«»“” ')
    return stripped if stripped.endswith(tuple(_ENDINGS)) else f"{stripped}."


@dataclass(frozen=True, slots=True)
class Library:
    """Sentences as pieces, without ends of sequence.

    Args:
        streams: texts, each as its sentences in order.
        loose: sentences without a text.
        stop: pieces of a full stop.
        comma: pieces of a comma.
        vocabulary: how many pieces there are.
    """

    streams: Sequence[Sequence[Numbers]]
    loose: Sequence[Numbers]
    stop: Numbers
    comma: Numbers
    vocabulary: int

    def document(self, rng: random.Random, longest: int) -> Example | None:
        """A document of at most `longest` pieces, and its leading sentence.

        A fifth is made of random pieces: what cannot be guessed must be copied. A fifth is made
        of sentences that have nothing to do with each other. The others are from texts. Half are
        as long as they may be. In a third, sentences are joined by commas to make the first one
        longer: news begins with sentences of a hundred pieces, which are rare in the data.

        Returns:
            None: not even the first sentence fitted.
        """
        read: Numbers = []
        chosen = self._sentences(rng, longest)
        if len(chosen) > 1 and rng.random() < 0.33:  # noqa: PLR2004 - a share, in the docstring above
            chosen = self._with_long_beginning(rng, chosen)
        for one in chosen:
            if len(read) + len(one) >= longest:
                break
            read = read + one
        if not read:
            return None
        return [*read, END], [*chosen[0], END]

    def _sentences(self, rng: random.Random, longest: int) -> Sequence[Numbers]:
        short = longest < _SHORT_DOCUMENT
        count = rng.randint(1 if short else 2, max(2, longest // _PIECES_A_SENTENCE))
        if rng.random() < 0.5:  # noqa: PLR2004 - a share, in the docstring of `document`
            count = longest // _SENTENCE.start
        kind = rng.random() * (0.5 if short else 1.0)
        if kind < 0.18:  # noqa: PLR2004 - shares, in the docstring above
            return [self._random(rng) for _ in range(count)]
        if kind < 0.40:  # noqa: PLR2004 - the same
            return [rng.choice(self.loose) for _ in range(count)]
        # The first streams are the long ones, with real documents.
        stream = rng.choice(self.streams[:4] if rng.random() < 0.75 else self.streams)  # noqa: PLR2004 - a share
        start = rng.randrange(len(stream))
        return stream[start : start + count]

    def _with_long_beginning(
        self, rng: random.Random, chosen: Sequence[Numbers]
    ) -> Sequence[Numbers]:
        wanted = rng.randint(30, LONGEST_SUMMARY)
        first, rest = chosen[0], list(chosen[1:])
        while rest and first[-1:] == self.stop and len(first) + len(rest[0]) <= wanted:
            first = [*first[:-1], *self.comma, *rest.pop(0)]
        return [first, *rest]

    def _random(self, rng: random.Random) -> Numbers:
        ordinary = range(_FIRST_ORDINARY, self.vocabulary)
        return [*(rng.choice(ordinary) for _ in range(rng.randint(4, 60))), *self.stop]


def library(
    documents: Iterable[str],
    by_source: dict[str, list[str]],
    encode: Callable[[str], Numbers],
    vocabulary: int,
) -> Library:
    """Sentences of all sources, those of unusual length left out.

    Args:
        documents: sentences of documents, in order.
        by_source: Arabic sentences of `RUNNING` and `LOOSE`; sources may be missing.
        encode: pieces of a text.
        vocabulary: how many pieces there are.
    """

    def encoded(texts: Iterable[str]) -> list[Numbers]:
        rows = (encode(sentence(text)) for text in texts)
        return [row for row in rows if len(row) in _SENTENCE]

    running = [encoded(documents), *(encoded(by_source.get(name, [])) for name in RUNNING)]
    loose = [text for name in LOOSE for text in by_source.get(name, [])]
    streams = [stream for stream in running if stream]
    return Library(streams, encoded(loose), encode(".")[-1:], encode("،")[-1:], vocabulary)
