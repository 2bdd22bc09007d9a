"""Segments that a model cannot take whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khulasa_server.text.fitting import fit
from khulasa_server.text.segmentation import split
from khulasa_server.text.spans import Span

if TYPE_CHECKING:
    from collections.abc import Callable

WORDY = st.lists(
    st.sampled_from(
        ["كلمة", "الوزير", "a", "1,000", "10:30", "،", ", ", "؛ ", ": ", "؟ ", "…", "..", " - ",
         "–", "«", "» ", '"', "(", ") ", ".", " ", " ", " ", "\n", "e\u0301\u0323", "👨‍👩‍👧",
         "我们，", "\ud800"]
    ),
    min_size=1,
).map("".join)  # fmt: skip
TEXTS = (WORDY | st.text(st.characters(exclude_categories=()))).map(str.strip).filter(bool)


def words(text: str) -> int:
    """A tokenizer that knows every word."""
    return len(text.split()) + 1


def code_points(text: str) -> int:
    """A tokenizer that knows no word."""
    return len(text) + 1


def octets(text: str) -> int:
    """A tokenizer for which some signs cost more than others."""
    return len(text.encode("utf-8", "surrogatepass")) + 1


def parts(text: str, limit: int) -> list[str]:
    """What a text is cut into by words."""
    return [span.of(text) for span in fit(text, Span(0, len(text)), limit, words)]


@given(TEXTS, st.integers(2, 40), st.sampled_from([words, code_points, octets]), st.integers(0, 9))
def test_parts_tile_the_span_within_the_limit(
    text: str, limit: int, count: Callable[[str], int], offset: int
) -> None:
    """Parts keep everything but whitespace between them; only a lone code point is too large."""
    around = "س" * offset + text + "ع" * offset
    span = Span(offset, offset + len(text))
    reached = span.start
    for part in fit(around, span, limit, count):
        gap, inside = around[reached : part.start], part.of(around)
        assert not gap or gap.isspace()
        assert inside
        assert inside == inside.strip()
        assert count(inside) <= limit or len(inside) == 1
        reached = part.end
    assert reached == span.end


@given(TEXTS, st.integers(2, 40))
def test_only_words_above_the_limit_are_cut(text: str, limit: int) -> None:
    """Where every word fits, every part is whole words or ends with a clause mark."""
    span = Span(0, len(text))
    if any(code_points(word) > limit for word in text.split()):
        return
    cuts = [part.end for part in fit(text, span, limit, code_points)][:-1]
    marks = set("،؛؟。，；：、।۔！？") | set("»”)\"'–—")
    assert all(text[cut].isspace() or text[cut - 1] in marks for cut in cuts)


@given(TEXTS, st.integers(2, 400))
def test_what_fits_is_left_alone(text: str, limit: int) -> None:
    """One part if and only if the whole is within the limit or cannot be cut."""
    span = Span(0, len(text))
    whole = fit(text, span, limit, code_points) == [span]
    assert whole == (code_points(text) <= limit or len(text) == 1)


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        pytest.param(
            "قال الوزير اليوم، إن الحكومة قوية", 5, ["قال الوزير اليوم،", "إن الحكومة قوية"],
            id="at a comma",
        ),
        pytest.param(
            "قال الوزير، اليوم أمام المجلس؛ إن الحكومة قوية جدا", 7,
            ["قال الوزير، اليوم أمام المجلس؛", "إن الحكومة قوية جدا"],
            id="at a stronger mark rather than a comma far off",
        ),
        pytest.param("أ ب ت ث ج ح خ د ذ", 9, ["أ ب ت ث", "ج ح خ د ذ"], id="balanced, no leftover"),
        pytest.param(
            'قالت إن "الحكومة ستنفق 1,000 دولار في 10:30" على المشروع في البلاد', 10,
            ['قالت إن "الحكومة ستنفق 1,000 دولار في 10:30"', "على المشروع في البلاد"],
            id="after a closing quote, not inside a number or a time",
        ),
        pytest.param(
            "زار الوزير البلاد أمس «مع وفد كبير جدا»", 7,
            ["زار الوزير البلاد أمس", "«مع وفد كبير جدا»"],
            id="before an opening quote",
        ),
        pytest.param("مشى د. أحمد ثم جلس", 4, ["مشى د. أحمد", "ثم جلس"], id="not at a title"),
        pytest.param("أ ب ت ث .", 5, ["أ ب", "ت ث ."], id="no lone full stop"),
        pytest.param("ab cd", 9, ["ab cd"], id="nothing to do"),
    ],
)  # fmt: skip
def test_where_a_reader_would_pause(text: str, limit: int, expected: list[str]) -> None:
    """Clause marks win over spaces, balance over neither."""
    assert parts(text, limit) == expected


@pytest.mark.parametrize("grapheme", ["👨‍👩‍👧", "🇸🇾", "e\u0301\u0323", "한", "क्षि"])
def test_graphemes_stay_whole_while_they_fit(grapheme: str) -> None:
    """Families, flags, accents and syllables are not taken apart."""
    text = grapheme * 50
    for part in fit(text, Span(0, len(text)), 12, code_points):
        assert part.of(text) == grapheme * (len(part) // len(grapheme))


def test_a_grapheme_above_the_limit_is_cut() -> None:
    """Nothing is lost even of a letter with more accents than the model has room for."""
    assert [len(span) for span in fit("e" + "\u0301" * 9, Span(0, 10), 5, code_points)] == [3, 4, 3]


def test_parts_of_the_article_are_balanced(article: str) -> None:
    """No part of a sentence is shorter than a quarter of the longest part."""
    for sentence in split(article, "ar"):
        sizes = [words(part.of(article)) for part in fit(article, sentence, 20, words)]
        assert max(sizes) <= 20
        assert min(sizes) >= max(sizes) / 4


def test_a_word_of_thousands_of_letters_costs_a_call_a_part() -> None:
    """The tokenizer sees about twice the text, however much it is above the limit."""
    seen: list[int] = []

    def count(text: str) -> int:
        seen.append(len(text))
        return len(text) + 1

    spans = fit("ا" * 30_000, Span(0, 30_000), 128, count)
    assert {len(span) for span in spans} <= set(range(100, 128))
    assert len(seen) == len(spans) + 1
    assert sum(seen) == 60_000


@pytest.mark.timeout(20)
def test_endless_repetition_is_no_attack(endless: str) -> None:
    """Time and tokenizer calls grow with the length of a text, whatever it repeats."""
    seen: list[int] = []

    def count(text: str) -> int:
        seen.append(len(text))
        return octets(text)

    assert fit(endless, Span(0, len(endless)), 128, count)[-1].end == len(endless)
    assert sum(seen) <= 5 * len(endless)
