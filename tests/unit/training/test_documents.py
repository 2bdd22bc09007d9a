"""Documents are no longer than asked for, and begin with what is to be written."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from training import documents
from training.documents import END

WORDS = ["رفض", "ساسة", "عراقيون", "اليوم", "مباحثات", "بين", "رئيس", "الوزراء", "في", "طهران"]
VOCABULARY = 1000
COMMA = 9


def seeded(seed: int) -> random.Random:
    """The same numbers every time."""
    return random.Random(seed)  # noqa: S311 - repeatable examples


def encode(text: str) -> list[int]:
    """A number of a word, two for its full stop, one for a comma alone."""
    if text == "،":
        return [COMMA]
    numbers = [300 + WORDS.index(word.strip(".")) for word in text.split() if word.strip(".")]
    return [*numbers, 7, 8] if text.endswith(".") else numbers


def text(seed: int, count: int) -> str:
    """A sentence of some words, without its full stop."""
    rng = seeded(seed)
    return " ".join(rng.choice(WORDS) for _ in range(count))


LIBRARY = documents.library(
    [text(seed, 6) for seed in range(50)],
    {
        "tatoeba": [text(seed, 4) for seed in range(50)],
        "xquad": [text(seed, 9) for seed in range(9)],
    },
    encode,
    VOCABULARY,
)


@given(st.integers(), st.integers(2, 300))
def test_document_begins_with_its_summary(seed: int, longest: int) -> None:
    """Both end with the end of sequence; the summary is the document's beginning."""
    drawn = LIBRARY.document(seeded(seed), longest)
    if drawn is None:
        return
    read, written = drawn
    assert read[-1] == written[-1] == END
    assert len(read) <= longest
    assert len(written) <= documents.LONGEST_SUMMARY + 1
    assert read[: len(written) - 1] == written[:-1]
    assert END not in read[:-1]


def test_too_short_a_document_is_none() -> None:
    """There is no room for a sentence in two pieces."""
    assert LIBRARY.document(seeded(0), 2) is None


def test_sentences_without_an_end_get_one() -> None:
    """Quotes around a sentence go, marks that end it stay."""
    assert documents.sentence(' "وصل الوزير" ') == "وصل الوزير."
    assert documents.sentence("هل وصل؟") == "هل وصل؟"


def test_sentences_of_unusual_length_are_left_out() -> None:
    """One word is no sentence, and a hundred and thirty are no sentence either."""
    library = documents.library([text(0, 1), text(1, 130), text(2, 5)], {}, encode, VOCABULARY)
    assert [len(row) for stream in library.streams for row in stream] == [7]


def test_source_that_is_missing_is_no_stream() -> None:
    """Nothing is drawn from an empty text."""
    assert len(LIBRARY.streams) == 2
    assert all(LIBRARY.streams)


def test_first_sentences_are_joined_by_commas_into_long_ones() -> None:
    """A part of the documents begins with a sentence longer than any in the texts."""
    drawn = [LIBRARY.document(seeded(seed), 250) for seed in range(300)]
    written = [document[1] for document in drawn if document]
    joined = [summary for summary in written if COMMA in summary]
    assert 0.15 * len(written) < len(joined) < 0.4 * len(written)
    assert max(map(len, joined)) > 60
    assert all(summary[-2] == LIBRARY.stop[0] for summary in joined)


def test_many_documents_are_full() -> None:
    """A window that is rarely filled is not learned to its end; some texts end before it."""
    drawn = [LIBRARY.document(seeded(seed), 250) for seed in range(300)]
    full = [document for document in drawn if document and len(document[0]) > 200]
    assert len(full) > 80
