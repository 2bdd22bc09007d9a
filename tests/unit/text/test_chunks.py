"""What of a long article is read."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khulasa_server.text.chunks import Sentence, coverage, hierarchical, lead, measure
from khulasa_server.text.segmentation import split
from khulasa_server.text.spans import Span

ARTICLES = st.lists(
    st.sampled_from(["كلمة", "كلمة", "كلمة", " ", " ", ". ", "! ", "\n", "\n\n", "  "]), min_size=1
).map("".join)


def words(text: str) -> int:
    """A tokenizer that knows every word."""
    return len(text.split()) + 1


def sentences(text: str, window: int) -> list[Sentence]:
    """The sentences of `text`, measured in words."""
    spans = split(text, "ar")
    return measure(text, spans, [words(span.of(text)) for span in spans], window, words)


@given(ARTICLES, st.integers(2, 12))
def test_chunks_are_the_whole_article_within_the_window(text: str, window: int) -> None:
    """Every sentence is in one chunk, in order, and no chunk is above the window."""
    whole = sentences(text, window)
    chunks = hierarchical(text, whole, window)
    assert [sentence for chunk in chunks for sentence in chunk.sentences] == whole
    assert all(chunk.cost == words(chunk.span.of(text)) <= window for chunk in chunks)
    assert coverage([chunk.span for chunk in chunks], text) == 1.0


@given(ARTICLES.filter(str.strip), st.integers(2, 12))
def test_lead_is_the_longest_run_of_whole_sentences(text: str, window: int) -> None:
    """One more sentence would not fit; only a first sentence above the window is cut."""
    whole = sentences(text, window)
    chunk = lead(whole, window)
    read = len(chunk.sentences)
    assert list(chunk.sentences) == whole[:read]
    assert chunk.cost <= window
    if chunk.sentences[-1].ends:
        following = next((i for i in range(read, len(whole)) if whole[i].ends), None)
        assert following is None or (
            sum(sentence.cost for sentence in whole[: following + 1]) + 1 > window
        )
    else:
        assert not any(sentence.ends for sentence in chunk.sentences)


def test_lead_of_the_article(article: str) -> None:
    """A window of 128 words takes the first sentences whole, and says how little that is."""
    chunk = lead(sentences(article, 128), 128)
    assert chunk.span.start == 0
    assert len(chunk.sentences) == 3
    assert article[chunk.span.end - 1] == "."
    assert 0.1 < coverage([chunk.span], article) < 0.2


def test_borders_are_put_between_paragraphs(article: str) -> None:
    """Chunks of the article end where paragraphs do, and differ little in cost."""
    chunks = hierarchical(article, sentences(article, 200), 200)
    borders = [article[before.span.end : after.span.start] for before, after in pairwise(chunks)]
    assert borders == ["\n\n"] * 4
    assert min(chunk.cost for chunk in chunks) > 100


def test_a_sentence_above_the_window_is_read_in_part() -> None:
    """LEAD of a single endless sentence is its first part; a later one waits for its turn."""
    endless = " ".join(["كلمة"] * 30)
    chunk = lead(sentences(endless, 11), 11)
    assert 1 < chunk.cost <= 11
    assert chunk.span.start == 0
    short_first = lead(sentences(f"جاء. {endless}", 11), 11)
    assert short_first.span == Span(0, 4)


def test_nothing_makes_no_chunk() -> None:
    """A blank article has no chunk."""
    assert hierarchical(" ", [], 10) == []


@pytest.mark.parametrize(
    ("read", "text", "expected"),
    [
        ([], "ابتث", 0.0),
        ([Span(0, 4)], "ابتث", 1.0),
        ([Span(0, 2)], "ابتث", 0.5),
        ([Span(1, 2), Span(3, 4)], " ا ت ", 1.0),
        ([Span(0, 1), Span(4, 5)], "ا   ت", 1.0),
        ([Span(0, 1)], "ا  ت", 0.25),
        ([Span(0, 3), Span(1, 2)], "ابتث", 0.75),
        ([Span(2, 3), Span(0, 1)], "ابت ", 2 / 4 + 1 / 4),
        ([], " \n", 1.0),
        ([], "", 1.0),
    ],
)
def test_coverage(read: list[Span], text: str, expected: float) -> None:
    """Code points read by code points given; whitespace beside what was read is read."""
    assert coverage(read, text) == expected


@given(st.text(), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9))))
def test_coverage_is_whole_only_if_all_was_read(text: str, pairs: list[tuple[int, int]]) -> None:
    """1.0 if and only if no sign is left unread."""
    spans = [
        Span(min(pair), min(max(*pair), len(text))) for pair in pairs if min(pair) <= len(text)
    ]
    seen = {at for span in spans for at in range(span.start, span.end)}
    share = coverage(spans, text)
    assert 0.0 <= share <= 1.0
    assert (share == 1.0) == all(at in seen or sign.isspace() for at, sign in enumerate(text))
