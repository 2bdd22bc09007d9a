"""All checks together: what is told, what is retried, what is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khulasa_server.guards.findings import Finding, Kind
from khulasa_server.guards.judge import judge_summary, judge_translation, needs_retry, severity

SOURCE = "وصل رئيس الوزراء إلى بغداد يوم 5 أيار."
GOOD = "The prime minister arrived in Baghdad on 5 May."


def judged(output: str, *, cut: bool = False) -> list[Finding]:
    """What is told of a translation of the sentence above."""
    return judge_translation(SOURCE, output, cut=cut, source_language="ar", target_language="en")


def test_a_good_translation_is_left_alone() -> None:
    """It has no findings, no retry and no severity."""
    assert judged(GOOD) == []
    assert not needs_retry([])
    assert severity([]) == 0


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        ("", Kind.EMPTY_OUTPUT),
        (SOURCE, Kind.UNTRANSLATED),
        ("The prime prime minister arrived in Baghdad on 5 May.", Kind.REPETITION),
        ("The minister.", Kind.LENGTH_RATIO),
        ("The prime minister arrived in بغداد on 5 May.", Kind.WRONG_SCRIPT),
        ("</s> The prime minister arrived in Baghdad on 5 May.", Kind.SENTINEL),
    ],
)
def test_degeneration_is_retried(output: str, kind: Kind) -> None:
    """Each kind of degeneration is the first that is told, and asks for a retry."""
    findings = judged(output)
    assert findings[0].kind is kind
    assert needs_retry(findings)


def test_a_cut_output_is_retried() -> None:
    """An output that hit its most tokens is told however good it looks."""
    findings = judged(GOOD, cut=True)
    assert [finding.kind for finding in findings] == [Kind.TRUNCATED]
    assert needs_retry(findings)


def test_a_wrong_number_is_told_and_not_retried() -> None:
    """Another decoding of the same model is no better at numbers."""
    findings = judged(GOOD.replace("5", "6"))
    assert {finding.kind for finding in findings} == {
        Kind.NUMBER_MISSING,
        Kind.NUMBER_UNSUPPORTED,
    }
    assert not needs_retry(findings)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (GOOD, "The prime prime minister arrived in Baghdad on 5 May."),
        (GOOD.replace("5", "6"), "The prime prime minister arrived in Baghdad on 5 May."),
        ("The prime prime minister arrived in Baghdad on 5 May.", SOURCE),
        ("The prime minister arrived in Baghdad", SOURCE),
        (SOURCE, ""),
        ("The minister of minister came on 5 May.", "The the the minister of of of 7 May may"),
    ],
)
def test_the_better_output_has_the_lower_severity(better: str, worse: str) -> None:
    """Of two outputs of one source, the one a reader would rather have is kept."""
    assert severity(judged(better)) < severity(judged(worse))


def test_a_copy_is_not_told_number_by_number() -> None:
    """An untranslated segment is one finding, not one for each word."""
    assert [finding.kind for finding in judged(SOURCE)] == [Kind.UNTRANSLATED]


def test_a_summary_is_judged_against_its_whole_article() -> None:
    """Numbers and names that are anywhere in the article are true; others are told."""
    article = f"{SOURCE} ثم زار شركة Apple وبقي هناك 12 يوما كاملة قبل أن يعود إلى بلاده."
    good = "زار رئيس الوزراء شركة Apple في 12 يوما."
    assert judge_summary(article, good, cut=False, language="ar") == []
    bad = "زار رئيس الوزراء شركة Google في 17 يوما."
    kinds = {f.kind for f in judge_summary(article, bad, cut=False, language="ar")}
    assert kinds == {Kind.NUMBER_UNSUPPORTED, Kind.NAME_UNSUPPORTED}


def test_a_summary_that_degenerates_is_retried() -> None:
    """Loops, cuts and emptiness are degeneration in a summary too."""
    article = f"{SOURCE} ثم عاد."
    for summary in ("", "قال قال قال قال الوزير", "وصل </s>"):
        assert needs_retry(judge_summary(article, summary, cut=False, language="ar"))
    assert needs_retry(judge_summary(article, "وصل الوزير", cut=True, language="ar"))


TEXT = st.text(
    alphabet=st.one_of(st.characters(), st.sampled_from("اوبيل 0123٤,.:<>/s😀aethn")), max_size=80
)


@given(source=TEXT, output=TEXT, cut=st.booleans(), language=st.sampled_from(["ar", "zh", "xx"]))
def test_places_are_within_their_texts(
    *, source: str, output: str, cut: bool, language: str
) -> None:
    """In any texts and languages, every finding's spans lie in the texts that were judged."""
    findings = judge_translation(
        source, output, cut=cut, source_language=language, target_language="en"
    ) + judge_summary(source, output, cut=cut, language=language)
    for finding in findings:
        assert finding.source is None or finding.source.end <= len(source)
        assert finding.target is None or finding.target.end <= len(output)
        assert len(finding.detail) <= 1_000
