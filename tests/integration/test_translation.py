"""What Translate and StreamTranslate answer: true spans, scores, usage and model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from khulasa.v1 import common_pb2, model_pb2, translation_pb2

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from google.protobuf.duration_pb2 import Duration
    from tests.integration.conftest import Service

    from khulasa_server.engines.scripted import ScriptedEngine

    Serve = Callable[..., AbstractAsyncContextManager[Service]]
    Scripted = Callable[..., dict[str, ScriptedEngine]]

SENTENCE: Final = "ذهب الولد إلى المدرسة"
TRANSLATOR: Final = "demo-marian-ar-en"
TRANSLATED: Final = translation_pb2.SEGMENT_OUTCOME_TRANSLATED
COPIED: Final = translation_pb2.SEGMENT_OUTCOME_COPIED


def seconds(duration: Duration) -> float:
    """As a number."""
    return duration.seconds + duration.nanos / 1e9


def streaming(service: Service, text: str, **fields: Any) -> Any:  # noqa: ANN401 - a call
    """A stream of one text."""
    request = translation_pb2.StreamTranslateRequest(text=text, **fields)
    return service.translation.StreamTranslate(request, timeout=60)


async def test_the_article_keeps_its_paragraphs(service: Service, article: str) -> None:
    """Every blank line of the source is in the translation, and every span points home."""
    (translation,) = (await service.translate(article)).translations
    service.assert_tiling(article, translation)
    assert translation.text.count("\n\n") == article.count("\n\n") > 15
    assert len(translation.segments) > 20
    assert {segment.outcome for segment in translation.segments} <= {TRANSLATED, COPIED}
    for segment in translation.segments:
        assert segment.HasField("score") == (segment.outcome == TRANSLATED)
        assert -1 <= segment.score <= 0


async def test_an_answer_names_its_model(service: Service) -> None:
    """The reference is that of GetModel, so that two answers can be told to come from one model."""
    answer = await service.translate(SENTENCE, model=TRANSLATOR)
    told = await service.models.GetModel(model_pb2.GetModelRequest(name=TRANSLATOR), timeout=30)
    (translation,) = answer.translations
    assert translation.model.name == told.model.name == TRANSLATOR
    assert translation.model.digest == told.model.digest
    assert (translation.source_language_code, translation.target_language_code) == ("ar", "en")


async def test_usage_adds_up(script: Scripted, serve: Serve) -> None:
    """Counts of a request are sums over its contents; a batch that they shared counts once."""
    engines = script()
    async with serve(threads="1x1!") as service:
        answer = await service.translate("كتاب", "12", "ولد كبير")
        (call,) = engines[TRANSLATOR].calls
    usages = [translation.usage for translation in answer.translations]
    for count in ("code_points", "input_tokens", "output_tokens", "segments", "retries"):
        assert getattr(answer.usage, count) == sum(getattr(usage, count) for usage in usages)
    assert [usage.code_points for usage in usages] == [4, 2, 8]
    assert answer.usage.input_tokens == sum(map(len, call.batch))
    assert answer.usage.segments == 3
    shared = seconds(answer.usage.inference_duration)
    assert [seconds(u.inference_duration) for u in usages] == [shared, 0.0, shared]
    assert 0 < shared < seconds(answer.usage.total_duration)
    assert seconds(answer.usage.tokenization_duration) > 0


async def test_a_second_call_is_served_from_the_cache(service: Service) -> None:
    """A cached output costs no tokens and says so; BYPASS computes it again."""
    first = await service.translate(SENTENCE)
    second = await service.translate(SENTENCE)
    bypass = common_pb2.Options(cache_mode=common_pb2.CACHE_MODE_BYPASS)
    third = await service.translate(SENTENCE, options=bypass)
    assert [answer.usage.cache_hits for answer in (first, second, third)] == [0, 1, 0]
    assert second.usage.input_tokens == second.usage.output_tokens == 0
    assert third.usage.input_tokens == first.usage.input_tokens > 0
    assert first.translations[0].segments == second.translations[0].segments


async def test_options_reach_the_engine(script: Scripted, serve: Serve) -> None:
    """Beams, output tokens and determinism are the engine's, as they were asked for."""
    engines = script()
    async with serve() as service:
        options = common_pb2.Options(beam_size=2, max_output_tokens=7, deterministic=True)
        await service.translate("كتاب", "ولد", options=options)
    calls = list(engines[TRANSLATOR].calls)
    assert [len(call.batch) for call in calls] == [1, 1]
    assert {(call.options.beam_size, call.options.max_output_tokens) for call in calls} == {(2, 7)}


async def test_findings_reach_the_caller(script: Scripted, serve: Serve) -> None:
    """A loop that stays is told with its place, and the retry that did not help is counted."""
    script(stubborn=frozenset({"تكرار"}))
    text = "كتاب.\nهذا تكرار كبير جدا"
    async with serve() as service:
        answer = await service.translate(text)
    (translation,) = answer.translations
    found = {finding.kind: finding for finding in translation.findings}
    assert common_pb2.FINDING_KIND_TRUNCATED in found
    loop = found[common_pb2.FINDING_KIND_REPETITION]
    assert loop.detail
    assert not loop.resolved
    assert len("ktab.\n") <= loop.target.start < loop.target.end <= len(translation.text)
    assert answer.usage.retries == 1
    cut = translation_pb2.SEGMENT_OUTCOME_TRUNCATED
    assert [segment.outcome for segment in translation.segments] == [TRANSLATED, cut]


async def test_a_stream_is_the_unary_answer_in_parts(service: Service, article: str) -> None:
    """Texts concatenate to the translation, spans point into it, and the end says the rest."""
    (whole,) = (await service.translate(article)).translations
    events = [event async for event in streaming(service, article)]
    parts, end = [event.segment for event in events[:-1]], events[-1].summary
    assert all(event.WhichOneof("event") == "segment" for event in events[:-1])
    assert "".join(part.text for part in parts) == whole.text
    assert [part.segment for part in parts] == list(whole.segments)
    assert list(end.findings) == list(whole.findings)
    assert end.model == whole.model
    assert (end.source_language_code, end.target_language_code) == ("ar", "en")
    assert end.usage.code_points == len(article)
    assert end.usage.segments == len(parts)


async def test_a_stream_sends_segments_before_the_text_is_done(
    script: Scripted,
    serve: Serve,
    gate: Any,  # noqa: ANN401 - of conftest
) -> None:
    """The first segment arrives while a later one is still being translated."""

    def hold(call: Any) -> None:  # noqa: ANN401 - a scripted call
        if any("▁صبر" in tokens for tokens in call.batch):
            gate.hold(call)

    script(before=hold)
    async with serve() as service:
        options = common_pb2.Options(deterministic=True)
        call = streaming(service, "كتاب.\nصبر.", options=options)
        first = await call.read()
        assert first.segment.text == "ktab.\n"
        gate.opened.set()
        assert (await call.read()).segment.text == "Sbr."
        assert (await call.read()).WhichOneof("event") == "summary"


@pytest.mark.parametrize("text", ["", " \n ", "12"])
async def test_a_stream_of_nothing_is_complete(service: Service, text: str) -> None:
    """A text with nothing to translate is one copied segment and a summary."""
    first, end = [event async for event in streaming(service, text)]
    assert first.segment.text == text
    assert first.segment.segment.outcome == COPIED
    assert end.WhichOneof("event") == "summary"


async def test_a_stream_that_fails_later_says_why(script: Scripted, serve: Serve) -> None:
    """An engine that fails on a later segment ends the stream with a status, not a summary."""
    script(poison=frozenset({"سم"}))
    async with serve() as service:
        call = streaming(service, "كتاب.\nسم.", options=common_pb2.Options(deterministic=True))
        assert (await call.read()).segment.text == "ktab.\n"
        fault = await service.refused(call.read(), "INTERNAL", code="INTERNAL")
        assert fault.message == "Internal error; the server's log has the request id."
        await service.assert_well()


async def test_a_poisoned_content_fails_the_call_and_nothing_else(
    script: Scripted, serve: Serve, logged: list[dict[str, object]]
) -> None:
    """A defect is INTERNAL with a constant text, logged once; its neighbours are answered."""
    script(poison=frozenset({"سم"}))
    async with serve() as service:
        good = service.translate(SENTENCE)
        await service.refused(service.translate("كتاب", "سم"), "INTERNAL", code="INTERNAL")
        assert (await good).translations[0].text == "Dhb alwld Ile almdrsG"
        await service.assert_well()
    defects = [line for line in logged if line["event"] == "defect"]
    assert len(defects) == 1
