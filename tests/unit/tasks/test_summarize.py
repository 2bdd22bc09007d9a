"""What a summary's answer is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from khulasa_server.bundles.manifest import Task
from khulasa_server.engines.scripted import transliterate
from khulasa_server.errors import InvalidRequestError, NotFoundError, Reason
from khulasa_server.guards.findings import Kind
from khulasa_server.tasks.values import Outcome, Strategy
from khulasa_server.text.spans import Span

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.tasks.conftest import Office

    from khulasa_server.bundles.manifest import Manifest

    Make = Callable[..., Office]

SUMMARIZER = "demo-mt5-ar-summary"
SENTENCES = [f"ذهب الولد {'ا' * number} إلى البيت الكبير." for number in range(1, 31)]
ARTICLE = "\n\n".join(" ".join(SENTENCES[start : start + 3]) for start in range(0, 30, 3))


def test_lead_tells_how_much_it_read(office: Office) -> None:
    """A long article by default: one chunk, its span, the coverage, and that there is more."""
    summary, usage = office.summarize(ARTICLE)
    (chunk,) = summary.chunks
    assert summary.strategy is Strategy.LEAD
    assert (chunk.level, chunk.source.start) == (0, 0)
    assert chunk.text == summary.text
    assert summary.coverage == pytest.approx(chunk.source.end / len(ARTICLE), abs=0.01)
    (partial,) = [each for each in summary.findings if each.kind is Kind.PARTIAL_COVERAGE]
    assert partial.source == Span(chunk.source.end, len(ARTICLE))
    assert summary.score is not None
    assert summary.score < 0
    assert summary.translation is None
    assert (usage.code_points, usage.segments) == (len(ARTICLE), 1)


def test_hierarchical_covers_the_whole(office: Office) -> None:
    """Chunks of level 0 tile the article, later ones were made of them, coverage is 1."""
    summary, usage = office.summarize(ARTICLE, strategy=Strategy.HIERARCHICAL)
    assert summary.strategy is Strategy.HIERARCHICAL
    assert summary.coverage == 1.0
    assert not any(each.kind is Kind.PARTIAL_COVERAGE for each in summary.findings)
    reached = 0
    for chunk in (chunk for chunk in summary.chunks if chunk.level == 0):
        assert not ARTICLE[reached : chunk.source.start].strip()
        reached = chunk.source.end
    assert not ARTICLE[reached:].strip()
    assert summary.chunks[-1].level >= 1
    assert summary.chunks[-1].source == Span(0, len(ARTICLE))
    assert summary.chunks[-1].text == summary.text
    assert usage.segments == len(summary.chunks)


def test_each_sentence_of_the_summary_has_its_evidence(office: Office) -> None:
    """A summary that quotes rests on what it quotes."""
    summary, _ = office.summarize(ARTICLE)
    assert summary.evidence
    for each in summary.evidence:
        assert each.source is not None
        assert each.summary.of(summary.text).rstrip(".")[:10] in each.source.of(ARTICLE)
        assert 0.5 < each.support <= 1


def test_a_text_no_longer_than_its_summary_is_given_back(office: Office) -> None:
    """ALREADY_SHORT: the text is the answer, covers itself, and rests on itself."""
    text = " ذهب الولد إلى البيت.\n"
    summary, usage = office.summarize(text)
    assert summary.text == text
    assert [each.kind for each in summary.findings] == [Kind.ALREADY_SHORT]
    assert (summary.coverage, summary.score) == (1.0, None)
    (evidence,) = summary.evidence
    assert evidence.summary == evidence.source == Span(1, 21)
    assert evidence.support == 1.0
    assert usage.output_tokens > 0


@pytest.mark.parametrize("text", ["12.5", "😀", "https://example.org/خبر", "@علي", "..."])
def test_a_text_without_a_word_is_given_back(office: Office, text: str) -> None:
    """Nothing to summarize: no model runs, and the whole is covered."""
    before = len(office.engines[SUMMARIZER].calls)
    summary, usage = office.summarize(text)
    assert summary.text == text
    assert (summary.coverage, summary.score, summary.findings) == (1.0, None, ())
    assert len(office.engines[SUMMARIZER].calls) == before
    assert (usage.code_points, usage.segments, usage.output_tokens) == (len(text), 1, 0)


def test_a_summary_is_translated_on_request(office: Office) -> None:
    """The same answer holds the translation, whose spans point into the summary."""
    summary, usage = office.summarize(ARTICLE, to="en-GB")
    translation = summary.translation
    assert translation is not None
    assert translation.text == transliterate(summary.text)
    assert (translation.source_language_code, translation.target_language_code) == ("ar", "en")
    assert translation.segments[-1].source.end == len(summary.text)
    assert translation.model.name == "demo-marian-ar-en"
    for count in ("input_tokens", "output_tokens", "segments"):
        both = (getattr(summary.usage, count), getattr(translation.usage, count))
        assert min(both) > 0
        assert getattr(usage, count) == sum(both)
    assert usage.code_points == len(ARTICLE)
    assert usage.inference == pytest.approx(summary.usage.inference + translation.usage.inference)


def test_a_copied_summary_has_a_copied_translation(office: Office) -> None:
    """What has nothing to summarize has nothing to translate either."""
    summary, _ = office.summarize("12.5", to="en")
    assert summary.translation is not None
    assert summary.translation.text == "12.5"
    assert {each.outcome for each in summary.translation.segments} == {Outcome.COPIED}


def test_options_are_the_summarys_not_its_translations(
    make_office: Make,
) -> None:
    """Beams and lengths were meant for the summary; the translator has its own defaults."""
    office = make_office()
    office.summarize(ARTICLE, to="en", beam_size=1, max_output_tokens=30)
    summarizing = office.engines[SUMMARIZER].calls[0].options
    translating = office.engines["demo-marian-ar-en"].calls[0].options
    assert (summarizing.beam_size, summarizing.max_output_tokens) == (1, 30)
    assert translating.beam_size == 4


def test_a_retry_that_mends_a_summary_is_told(make_office: Make) -> None:
    """A loop that stricter decoding avoids is a resolved finding at what was read."""
    # This model bans repeated n-grams by default; the script takes the ban for none.
    office = make_office(looping=frozenset({"الولد"}))
    manifest = office.desk.catalog.models[SUMMARIZER].manifest
    free = manifest.generation.model_copy(update={"no_repeat_ngram_size": 0})
    office.desk.catalog.models[SUMMARIZER].manifest = manifest.model_copy(
        update={"generation": free}
    )
    summary, usage = office.summarize(ARTICLE)
    (chunk,) = summary.chunks
    resolved = [each for each in summary.findings if each.resolved]
    assert Kind.REPETITION in {each.kind for each in resolved}
    assert {each.source for each in resolved} == {chunk.source}
    assert usage.retries == 1
    assert office.watched.retries[0][0] == SUMMARIZER


def test_a_retry_that_does_not_help_a_summary_keeps_the_first(make_office: Make) -> None:
    """The loop stays, told as what the answer has."""
    office = make_office(stubborn=frozenset({"الولد"}))
    summary, usage = office.summarize(ARTICLE)
    found = {each.kind for each in summary.findings if not each.resolved}
    assert {Kind.REPETITION, Kind.TRUNCATED} <= found
    assert not any(each.resolved for each in summary.findings)
    assert usage.retries == 1


def test_an_empty_summary_is_told(make_office: Make) -> None:
    """A model that writes nothing is an EMPTY_OUTPUT, not an error, translated or not."""
    office = make_office(silent=frozenset({"الولد"}))
    summary, _ = office.summarize(ARTICLE, to="en")
    assert summary.text == ""
    assert Kind.EMPTY_OUTPUT in {each.kind for each in summary.findings}
    assert summary.evidence == ()
    assert summary.translation is not None
    assert summary.translation.text == ""


def test_errors_name_the_field_of_the_summary(office: Office) -> None:
    """What is wrong with the second model is said of its field, not of the first one's."""
    with pytest.raises(NotFoundError) as missing:
        office.summarize(ARTICLE, to="en", translation_model="other")
    assert missing.value.field == "translation_model"
    with pytest.raises(InvalidRequestError) as unserved:
        office.summarize(ARTICLE, to="fr")
    assert unserved.value.field == "target_language_code"
    assert unserved.value.reason is Reason.LANGUAGE_UNSUPPORTED


def test_a_language_that_shares_the_script_is_believed(
    make_office: Make, make_manifest: Callable[..., Manifest]
) -> None:
    """Which of the languages of a script a text is in, the caller may say."""
    office = make_office(make_manifest(Task.SUMMARIZE, source_language_codes=("ar", "fa")))
    assert office.summarize(ARTICLE)[0].language_code == "ar"
    assert office.summarize(ARTICLE, language="fa-IR")[0].language_code == "fa"


@settings(max_examples=60, deadline=None)
@given(
    text=st.text("ابتثجد .\n،؟1a", min_size=1, max_size=1_200),
    strategy=st.sampled_from(Strategy),
)
def test_any_text_has_a_sound_summary(office: Office, text: str, strategy: Strategy) -> None:
    """Spans lie in their texts, coverage in [0, 1], and it is 1 where everything was read."""
    summary, usage = office.summarize(text, strategy=strategy, lenient=True)
    assert 0 < summary.coverage <= 1
    assert summary.strategy is strategy
    if strategy is Strategy.HIERARCHICAL:
        assert summary.coverage == 1
    for chunk in summary.chunks:
        assert 0 <= chunk.source.start < chunk.source.end <= len(text)
    for each in summary.evidence:
        assert 0 <= each.summary.start < each.summary.end <= len(summary.text)
        assert each.source is None or 0 <= each.source.start < each.source.end <= len(text)
        assert 0 <= each.support <= 1
    partial = any(each.kind is Kind.PARTIAL_COVERAGE for each in summary.findings)
    assert partial == (summary.coverage < 1)
    assert usage.code_points == len(text)
    assert usage.segments == len(summary.chunks)
