"""What Summarize and BulkSummarize answer: strategy, coverage, chunks, evidence, translation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from khulasa.v1 import common_pb2, summarization_pb2
from khulasa_server.engines.base import EngineError
from khulasa_server.engines.scripted import transliterate

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.integration.conftest import Service

    Serve = Callable[..., AbstractAsyncContextManager[Service]]

LEAD: Final = summarization_pb2.LONG_DOCUMENT_STRATEGY_LEAD
HIERARCHICAL: Final = summarization_pb2.LONG_DOCUMENT_STRATEGY_HIERARCHICAL
PARTIAL: Final = common_pb2.FINDING_KIND_PARTIAL_COVERAGE
SUMMARIZER: Final = "demo-mt5-ar-summary"


async def summarize(service: Service, text: str, **fields: Any) -> Any:  # noqa: ANN401 - a response
    """One unary call."""
    request = summarization_pb2.SummarizeRequest(text=text, **fields)
    return await service.summarization.Summarize(request, timeout=60)


@pytest.mark.parametrize("given", [{}, {"long_document_strategy": LEAD}])
async def test_the_lead_is_summarized_by_default(
    service: Service, article: str, given: dict[str, Any]
) -> None:
    """LEAD, asked for or not, reads the beginning and says how much that is."""
    answer = await summarize(service, article, **given)
    summary = answer.summary
    (chunk,) = summary.chunks
    assert summary.strategy == LEAD
    assert (chunk.level, chunk.source.start, chunk.text) == (0, 0, summary.text)
    assert summary.coverage == pytest.approx(chunk.source.end / len(article), abs=0.01)
    (partial,) = [each for each in summary.findings if each.kind == PARTIAL]
    assert (partial.source.start, partial.source.end) == (chunk.source.end, len(article))
    assert not partial.HasField("target")
    assert -1 <= summary.score < 0
    assert summary.model.name == SUMMARIZER
    assert summary.language_code == "ar"
    assert not summary.HasField("translation")
    assert answer.usage.code_points == len(article)
    assert answer.usage.segments == summary.usage.segments == 1


async def test_the_whole_is_summarized_on_request(service: Service, article: str) -> None:
    """HIERARCHICAL covers the article: chunks of level 0 tile it, the last one is the summary."""
    summary = (await summarize(service, article, long_document_strategy=HIERARCHICAL)).summary
    assert summary.strategy == HIERARCHICAL
    assert summary.coverage == 1.0
    assert not any(each.kind == PARTIAL for each in summary.findings)
    read = [chunk for chunk in summary.chunks if chunk.level == 0]
    reached = 0
    for chunk in read:
        assert not article[reached : chunk.source.start].strip()
        reached = chunk.source.end
    assert not article[reached:].strip()
    last = summary.chunks[-1]
    assert last.level > 0
    assert (last.source.start, last.source.end) == (read[0].source.start, read[-1].source.end)
    assert last.text == summary.text
    assert summary.usage.segments == len(summary.chunks)


async def test_a_summary_rests_on_the_article(service: Service, article: str) -> None:
    """For each sentence there is the place it was taken from, and how well it supports it."""
    summary = (await summarize(service, article)).summary
    assert summary.evidence
    for each in summary.evidence:
        sentence = summary.text[each.summary.start : each.summary.end]
        source = article[each.source.start : each.source.end]
        assert sentence.split()[0] in source
        assert 0 < each.support <= 1


async def test_a_summary_comes_with_its_translation(service: Service, article: str) -> None:
    """`target_language_code` adds the translation of the summary, with spans into the summary."""
    answer = await summarize(service, article, target_language_code="en")
    summary, translation = answer.summary, answer.summary.translation
    assert translation.text == transliterate(summary.text)
    service.assert_tiling(summary.text, translation)
    assert translation.model.name == "demo-marian-ar-en"
    for count in ("input_tokens", "output_tokens", "segments", "retries", "cache_hits"):
        both = getattr(summary.usage, count) + getattr(translation.usage, count)
        assert getattr(answer.usage, count) == both
    assert answer.usage.code_points == len(article)


async def test_a_short_text_is_given_back(service: Service) -> None:
    """ALREADY_SHORT says that the text is no longer than its summary would be."""
    text = "ذهب الولد إلى المدرسة."
    summary = (await summarize(service, text)).summary
    assert summary.text == text
    assert [each.kind for each in summary.findings] == [common_pb2.FINDING_KIND_ALREADY_SHORT]
    assert summary.coverage == 1.0
    assert not summary.HasField("score")
    assert [each.support for each in summary.evidence] == [1.0]


async def test_a_text_without_letters_is_given_back(service: Service) -> None:
    """Digits are nothing to summarize and no error."""
    summary = (await summarize(service, "12.5")).summary
    assert (summary.text, summary.coverage) == ("12.5", 1.0)
    assert summary.usage.output_tokens == 0


async def test_bulk_summaries_answer_each_item(service: Service, article: str) -> None:
    """Items of all strategies, with and without translation, are answered once each."""
    make = summarization_pb2.BulkSummarizeRequest
    items = [
        make(id="lead", content=article),
        make(id="whole", content=article, long_document_strategy=HIERARCHICAL),
        make(id="english", content=article, target_language_code="en"),
        make(id="short", content="ذهب الولد."),
    ]
    call = service.summarization.BulkSummarize(iter(items), timeout=60)
    answers = [answer async for answer in call]
    summaries = {answer.id: answer.summary for answer in answers}
    assert len(answers) == len(summaries) == 4
    assert summaries["lead"].text == (await summarize(service, article)).summary.text
    assert summaries["whole"].strategy == HIERARCHICAL
    assert summaries["english"].translation.text == transliterate(summaries["english"].text)
    assert summaries["short"].text == "ذهب الولد."


async def test_a_summary_whose_translator_is_down_is_refused(
    script: Callable[..., object], serve: Serve, article: str
) -> None:
    """Without its translator the call is NOT_READY, and a summary alone is still given."""

    def refuse(name: str) -> None:
        if name != SUMMARIZER:
            raise EngineError("no weights")

    script(loading=refuse)
    async with serve() as service:
        call = summarize(service, article, target_language_code="en")
        fault = await service.refused(
            call, "NOT_READY", code="UNAVAILABLE", model="demo-marian-ar-en", state="failed"
        )
        assert fault.retry_seconds == 2.0
        assert fault.trailers["grpc-retry-pushback-ms"] == "2000"
        assert (await summarize(service, article)).summary.text
