"""What a summary rests on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khulasa_server.guards.evidence import evidence_for, find_unsupported_sentences
from khulasa_server.guards.findings import Kind
from khulasa_server.guards.stems import stems_of
from khulasa_server.text.segmentation import split

ARTICLE = "وصل الوزير إلى بغداد. ثم عقد اجتماعا مع النواب. وغادر المدينة مساء."


def test_each_sentence_points_to_its_source() -> None:
    """Evidence names the sentence with most of the words, in whatever form they stand there."""
    summary = "عقد الوزير اجتماعا مع نواب. مغادرة مساء."
    first, second = evidence_for(summary, split(summary, "ar"), ARTICLE, split(ARTICLE, "ar"), "ar")
    assert first.source is not None
    assert first.source.of(ARTICLE) == "ثم عقد اجتماعا مع النواب."
    assert 0.5 < first.support < 1
    assert second.source is not None
    assert second.source.of(ARTICLE).startswith("وغادر")


def test_what_rests_on_nothing_has_no_source() -> None:
    """A sentence without a shared word has support 0, no source, and is told."""
    summary = "انخفضت أسعار النفط."
    evidence = evidence_for(summary, split(summary, "ar"), ARTICLE, split(ARTICLE, "ar"), "ar")
    assert [(each.source, each.support) for each in evidence] == [(None, 0.0)]
    (finding,) = find_unsupported_sentences(summary, evidence)
    assert finding.kind is Kind.SUMMARY_UNSUPPORTED
    assert finding.target == evidence[0].summary


def test_a_sentence_that_says_nothing_is_supported() -> None:
    """Function words and marks need no evidence."""
    (each,) = evidence_for("ثم…", split("ثم…", "ar"), ARTICLE, split(ARTICLE, "ar"), "ar")
    assert each.support == 1.0


def test_a_text_rests_on_itself() -> None:
    """Sentence by sentence, however often one returns."""
    text = ARTICLE * 3
    sentences = split(text, "ar")
    evidence = evidence_for(text, sentences, text, sentences, "ar")
    assert [(each.source, each.support) for each in evidence] == [(s, 1.0) for s in sentences]


@given(st.text(), st.text(), st.sampled_from(["ar", "en", "fa", "zh", "ru", "xx"]))
def test_support_is_a_share(summary: str, source: str, language: str) -> None:
    """In any text and language support is 0 to 1, and 0 exactly where there is no source."""
    for each in evidence_for(
        summary, split(summary, language), source, split(source, language), language
    ):
        assert 0 <= each.support <= 1
        assert each.support == 1 or (each.source is None) == (each.support == 0)


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [("ar", "المقالات", "مقالة"), ("en", "reported", "reports"), ("ru", "книга", "книги")],
)
def test_forms_of_a_word_share_a_stem(language: str, one: str, other: str) -> None:
    """Inflection does not hide what a sentence rests on."""
    assert stems_of(one, language) == stems_of(other, language)
