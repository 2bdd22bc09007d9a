"""Joined pairs say what the pairs said: nothing is lost, doubled, or moved to the other side."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from training import mosaics
from training.sources import Pair

SOURCES = st.sampled_from(["tatoeba", "lex:freedict", "lex:names_wikidata/full_names", "l10n/x"])


def seeded(seed: int) -> random.Random:
    """The same numbers every time."""
    return random.Random(seed)  # noqa: S311 - repeatable examples


@st.composite
def numbered_pairs(draw: st.DrawFn) -> list[Pair]:
    """Pairs whose texts are their numbers."""
    sources = draw(st.lists(SOURCES, max_size=60))
    return [Pair(source, f"ك{number}", f"W{number}", (0,)) for number, source in enumerate(sources)]


@given(numbered_pairs(), st.integers())
def test_every_pair_is_in_one_mosaic_on_both_sides(pairs: list[Pair], seed: int) -> None:
    """The numbers on each side are those of the pairs, in the same order."""
    joined = list(mosaics.join(pairs, seeded(seed)))
    for pair in joined:
        arabic = pair.arabic.replace("،", "").replace("و", "").replace("ك", "").split()
        english = pair.english.replace(",", "").replace(" and ", " ").lower().replace("w", "")
        assert arabic == english.split()
    said = Counter(word for pair in joined for word in pair.english.lower().split())
    assert {word.strip(",") for word in said} - {"and"} == {f"w{n}" for n in range(len(pairs))}


@given(numbered_pairs(), st.integers())
def test_phrases_stand_in_rows_of_their_own(pairs: list[Pair], seed: int) -> None:
    """A phrase is never part of a group of sentences."""
    phrases = {pair.arabic for pair in pairs if pair.source.startswith(mosaics.PHRASES)}
    for pair in mosaics.join(pairs, seeded(seed)):
        words = {word.strip("،").removeprefix("و") for word in pair.arabic.split()}
        assert not words & phrases or words <= phrases


@given(numbered_pairs(), st.integers())
def test_links_of_a_row_lead_to_the_same_words(pairs: list[Pair], seed: int) -> None:
    """Each word is linked to its own translation; the words between phrases to none."""
    for pair in mosaics.join(pairs, seeded(seed)):
        arabic, english = pair.arabic.split(), pair.english.lower().split()
        assert len(pair.links) == len(english)
        for word, link in zip(english, pair.links, strict=True):
            linked = arabic[link].strip("،").removeprefix("و") if link >= 0 else "none"
            assert linked.replace("ك", "w") == (word.strip(",") if word != "and" else "none")


def test_row_of_unlinked_pairs_has_no_links() -> None:
    """Without links nothing is taught of them, and places still fit."""
    pairs = [Pair("tatoeba", "هذا كتاب", "a book"), Pair("tatoeba", "نعم", "yes", (0,))]
    joined = [pair for seed in range(200) for pair in mosaics.join(pairs, seeded(seed))]
    assert (-1, -1, 2) in {pair.links for pair in joined}


def test_words_of_a_dictionary_lose_their_capital_and_names_keep_it() -> None:
    """A dictionary begins every word with a capital; within a text that says it is a name."""
    pairs = [Pair("lex:freedict", "كتاب", "Book"), Pair("lex:names_wikidata/x", "سامي", "Sami")]
    (row,) = mosaics.join(pairs, seeded(0))
    assert row.english == "book Sami"


def test_words_that_no_sentence_uses_are_not_learned() -> None:
    """Of a dictionary only what stands in other sources is kept; other sources are kept whole."""
    pairs = [
        Pair("lex:freedict", "معقوف", "Aduncous"),
        Pair("lex:freedict", "كتاب", "Book"),
        Pair("tatoeba", "هذا كتاب.", "This is a book."),
        Pair("lex:names_wikidata/x", "سامي", "Sami"),
    ]
    assert mosaics.known(pairs) == [False, True, True, True]
