"""One segment's way: judged, retried where it degenerated, split where it was cut, and told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khulasa_server.engines.base import GenerationOptions
from khulasa_server.engines.scripted import log_probability, transliterate
from khulasa_server.guards.findings import Kind
from khulasa_server.scheduling import CacheMode
from khulasa_server.tasks.segments import (
    in_order,
    limited,
    output_limit,
    stricter,
)
from khulasa_server.tasks.values import Outcome

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator

    from tests.unit.tasks.conftest import Office

    Make = Callable[..., Office]

TRANSLATOR = "demo-marian-ar-en"
LOOPING = "تكرار"
SENTENCE = f"ذهب {LOOPING} إلى المدرسة البعيدة"
LONG = "قال المدير إن العمل سينتهي غدا في المدينة، ثم ذهب إلى البيت ونام، وفي الصباح عاد مبكرا"


def kinds(findings: object) -> list[tuple[Kind, bool]]:
    """Kind and whether it was mended, of each."""
    assert isinstance(findings, tuple)
    return [(finding.kind, finding.resolved) for finding in findings]


def test_a_good_output_is_decoded_once(make_office: Make) -> None:
    """Without a finding there is no retry, and the score is the mean of the tokens'."""
    office = make_office()
    (translation,), usage = office.translate("كتاب الولد")
    (segment,) = translation.segments
    tokens = office.engines[TRANSLATOR].tokenize(["ktab alwld"])[0]
    assert translation.text == "ktab alwld"
    assert segment.outcome is Outcome.TRANSLATED
    assert segment.score == pytest.approx(sum(map(log_probability, tokens)) / len(tokens))
    assert (usage.retries, usage.output_tokens) == (0, len(tokens))
    assert usage.input_tokens == len(office.engines[TRANSLATOR].tokenize(["كتاب الولد"])[0])


def test_segments_of_one_length_share_their_options() -> None:
    """Equal options are one object, which queues compare at a glance; the limit is the length's."""
    options = GenerationOptions(max_output_tokens=200)
    assert limited(options, 10) is limited(options, 10)
    assert limited(options, 10) == GenerationOptions(max_output_tokens=output_limit(10, 200))
    assert limited(options, 100).max_output_tokens == 200


def test_a_retry_that_mends_replaces_the_output_and_says_so(make_office: Make) -> None:
    """A loop that stricter decoding avoids is told as a resolved finding, without a target."""
    office = make_office(looping=frozenset({LOOPING}))
    (translation,), usage = office.translate(SENTENCE)
    assert translation.text == transliterate(SENTENCE)
    assert (Kind.REPETITION, True) in kinds(translation.findings)
    assert all(finding.resolved for finding in translation.findings)
    assert all(finding.target is None for finding in translation.findings)
    assert usage.retries == 1
    first, second = (call.options for call in office.engines[TRANSLATOR].calls)
    assert second == stricter(first)
    assert office.watched.retries == [(TRANSLATOR, "REPETITION")]
    assert (TRANSLATOR, "REPETITION") in office.watched.findings


def test_a_retry_that_does_not_help_keeps_the_first_output(make_office: Make) -> None:
    """Of two equally bad outputs the first stays, its findings are told, and both runs count."""
    office = make_office(stubborn=frozenset({LOOPING}))
    (translation,), usage = office.translate(SENTENCE)
    assert translation.segments[0].outcome is Outcome.TRUNCATED
    assert (Kind.REPETITION, False) in kinds(translation.findings)
    assert not any(finding.resolved for finding in translation.findings)
    assert usage.retries == 1
    written = office.engines[TRANSLATOR].calls[0].options.max_output_tokens
    assert usage.output_tokens >= 2 * written


def test_a_cut_segment_is_split_and_tried_again(make_office: Make) -> None:
    """A source that is too long for its output is run in parts, whose outputs are joined."""
    office = make_office(cut=frozenset({"عاد"}))
    (translation,), _ = office.translate(LONG)
    first, *parts = [tokens for call in office.engines[TRANSLATOR].calls for tokens in call.batch]
    assert len(parts) >= 2
    assert all(len(part) <= len(first) // 2 + 2 for part in parts)
    (segment,) = translation.segments
    assert (segment.source.start, segment.source.end) == (0, len(LONG))
    assert translation.text.startswith("qal almdyr")


def test_splitting_that_mends_is_translated_whole(make_office: Make) -> None:
    """Where the parts end by themselves nothing is cut any more, and the finding is resolved."""
    office = make_office(cut=frozenset({LONG}))
    (translation,), usage = office.translate(LONG)
    assert translation.text == transliterate(LONG)
    assert translation.segments[0].outcome is Outcome.TRANSLATED
    assert (Kind.TRUNCATED, True) in kinds(translation.findings)
    assert usage.retries == 1


def test_a_short_cut_segment_is_not_split(make_office: Make) -> None:
    """Halves of a phrase mean less than the phrase."""
    office = make_office(cut=frozenset({"كتاب"}))
    (translation,), _ = office.translate("كتاب الولد")
    batches = [call.batch for call in office.engines[TRANSLATOR].calls]
    assert batches == [batches[0], batches[0]]
    assert translation.segments[0].outcome is Outcome.TRUNCATED
    assert (Kind.TRUNCATED, False) in kinds(translation.findings)


def test_a_callers_output_limit_is_used_as_it_is(make_office: Make) -> None:
    """With `max_output_tokens` the segment stops there, and that it was cut is told."""
    office = make_office()
    (translation,), _ = office.translate("ذهب الولد إلى المدرسة", max_output_tokens=2)
    assert office.engines[TRANSLATOR].calls[0].options.max_output_tokens == 2
    assert translation.segments[0].outcome is Outcome.TRUNCATED
    assert any(finding.kind is Kind.TRUNCATED for finding in translation.findings)


def test_an_empty_output_is_told(make_office: Make) -> None:
    """A model that writes nothing leaves an empty target span and an EMPTY_OUTPUT."""
    office = make_office(silent=frozenset({"صامت"}))
    (translation,), _ = office.translate("كتاب صامت.\nالولد")
    first, second = translation.segments
    assert (first.target.start, first.target.end) == (0, 0)
    assert translation.text == "\nalwld"
    assert second.target.of(translation.text) == "alwld"
    assert (Kind.EMPTY_OUTPUT, False) in kinds(translation.findings)


def test_findings_are_in_the_order_of_the_text(make_office: Make) -> None:
    """Findings of a later segment come later, and inside a segment by their place."""
    office = make_office(stubborn=frozenset({LOOPING}))
    text = f"{SENTENCE} 12 كتاب 34.\n{SENTENCE} 56."
    (translation,), _ = office.translate(text)
    assert len(translation.segments) == 2
    border = translation.segments[1].source.start
    places = [finding.source.start for finding in translation.findings if finding.source]
    assert len(places) > 2
    assert places == sorted(places)
    assert places[-1] >= border


def test_options_reach_the_engine(make_office: Make) -> None:
    """Beams are the caller's; a deterministic segment runs alone; the cache can be bypassed."""
    office = make_office(cache_bytes=1_000_000)
    text = "كتاب.\nكتاب.\nالولد."
    office.translate(text, beam_size=2, deterministic=True, cache_mode=CacheMode.BYPASS)
    calls = office.engines[TRANSLATOR].calls
    assert [len(call.batch) for call in calls] == [1, 1, 1]
    assert {call.options.beam_size for call in calls} == {2}
    calls.clear()
    _, first = office.translate(text)
    _, second = office.translate(text)
    assert sum(len(call.batch) for call in calls) == 2
    assert (first.cache_hits, first.segments) == (1, 3)
    assert (second.cache_hits, second.input_tokens, second.output_tokens) == (3, 0, 0)
    assert second.inference == 0


def test_a_shared_batch_counts_once(make_office: Make) -> None:
    """Segments that ran together took one batch's time, not one each."""
    office = make_office(slots=1)
    translations, usage = office.translate("كتاب", "ولد", "بيت")
    (call,) = office.engines[TRANSLATOR].calls
    assert len(call.batch) == 3
    assert {translation.usage.inference for translation in translations} == {usage.inference}
    assert usage.inference > 0


@given(tokens=st.integers(1, 512), most=st.integers(1, 600))
def test_output_limits_are_few_and_never_too_low(tokens: int, most: int) -> None:
    """Limits come in steps so that batches fill, and are above what translations need."""
    limit = output_limit(tokens, most)
    assert limit <= most
    assert limit in {most, *(1 << power for power in range(12))}
    assert limit >= min(most, 2 * tokens + 24)


def test_stricter_options_only_tighten() -> None:
    """More beams within the range, and a ban on repeated n-grams no longer than three."""
    assert stricter(GenerationOptions(beam_size=4)).beam_size == 6
    assert stricter(GenerationOptions(beam_size=16)).beam_size == 16
    assert stricter(GenerationOptions()).no_repeat_ngram_size == 3
    assert stricter(GenerationOptions(no_repeat_ngram_size=2)).no_repeat_ngram_size == 2
    assert stricter(GenerationOptions(no_repeat_ngram_size=4)).no_repeat_ngram_size == 3


async def collected(results: AsyncGenerator[int, None]) -> list[int]:
    """All of them."""
    return [result async for result in results]


async def test_results_come_in_order_whatever_finishes_first() -> None:
    """A later result waits for the ones before it."""
    last = asyncio.Event()

    async def job(number: int) -> int:
        if number == 0:
            await last.wait()
        if number == 4:
            last.set()
        return number

    assert await collected(in_order(job(number) for number in range(5))) == [0, 1, 2, 3, 4]


async def test_a_lone_job_runs_in_its_callers_task() -> None:
    """A request of one sentence starts no task, and its failure is the caller's."""
    caller = asyncio.current_task()

    async def job() -> int:
        return id(asyncio.current_task())

    async def fail() -> int:
        raise LookupError

    assert await collected(in_order(iter([job()]))) == [id(caller)]
    with pytest.raises(LookupError):
        await collected(in_order([fail()]))


async def test_the_first_failure_cancels_the_rest() -> None:
    """Nothing goes on for an answer that will not be given."""
    cancelled: list[int] = []

    async def job(number: int) -> int:
        if number == 1:
            raise LookupError
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(number)
            raise
        return number

    async def first() -> int:
        return 0

    jobs: list[Coroutine[None, None, int]] = [first(), job(1), job(2), job(3)]
    with pytest.raises(LookupError):
        await collected(in_order(jobs))
    assert cancelled == [2, 3]


async def test_a_long_text_does_not_start_all_its_segments_at_once() -> None:
    """A bounded number of jobs runs, and the next ones are made as the first ones end."""
    made, running, most = 0, 0, 0

    async def job(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return number

    def jobs() -> Iterator[Coroutine[None, None, int]]:
        nonlocal made
        for number in range(1_000):
            made += 1
            yield job(number)

    results = in_order(jobs(), at_once=10)
    assert await anext(results) == 0
    assert made <= 20
    assert [result async for result in results] == list(range(1, 1_000))
    assert most <= 10
