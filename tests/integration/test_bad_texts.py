"""Texts that cannot be translated as they are: refused exactly, or answered rightly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from khulasa.v1 import summarization_pb2, translation_pb2
from khulasa_server.engines.scripted import transliterate

if TYPE_CHECKING:
    from tests.integration.conftest import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")

SENTENCE: Final = "ذهب الولد إلى المدرسة"
TRANSLATED: Final = "Dhb alwld Ile almdrsG"
LONG: Final = "ا" * 30_001
INVISIBLE: Final = "\u200f\u200d\u200e\u061c\u200c \u202b\u202c\ufeff"
COPIED: Final = translation_pb2.SEGMENT_OUTCOME_COPIED
ALL_TRANSLATED: Final = translation_pb2.SEGMENT_OUTCOME_TRANSLATED
NOTHING_TO_TRANSLATE: Final = {
    "digits": "2024 ٣٫٥٪ 17:30",
    "emoji": "😀🇪🇬 👩‍👩‍👧",
    "full stops": "." * 10_000,
    "address": "https://example.org/خبر?a=1",
    "tatweel": "ـــــ",
    "marks": "\u064e\u064f\u0650",
}
BLANK: Final = {"empty": "", "spaces": " \n\t\u2028\u00a0", "invisible": INVISIBLE}
OTHER_SCRIPT: Final = {"latin": "only Latin letters", "cyrillic": "Только кириллица"}


@pytest.mark.parametrize("contents", [[], [""], [" \n\t"], ["", "\u2028 ", "\u00a0"], [INVISIBLE]])
async def test_blank_contents_are_refused(shared: Service, contents: list[str]) -> None:
    """A request that is empty or blank as a whole is TEXT_EMPTY."""
    await shared.refused(shared.translate(*contents), "TEXT_EMPTY", "contents", field="contents")
    await shared.assert_well()


@pytest.mark.parametrize("text", BLANK.values(), ids=BLANK)
async def test_a_blank_article_is_refused(shared: Service, text: str) -> None:
    """There is nothing to summarize in a blank text."""
    request = summarization_pb2.SummarizeRequest(text=text)
    await shared.refused(
        shared.summarization.Summarize(request, timeout=30),
        "TEXT_EMPTY",
        "text",
        field="text",
    )
    await shared.assert_well()


@pytest.mark.parametrize(("text", "script"), [("only Latin", "Latin"), ("кириллица 7", "Cyrillic")])
async def test_another_script_is_refused(shared: Service, text: str, script: str) -> None:
    """Contents with letters of which none is Arabic are LANGUAGE_MISMATCH, with their script."""
    told = {"language": "ar", "script": script}
    await shared.refused(shared.translate(text, "12"), "LANGUAGE_MISMATCH", "contents", **told)
    request = summarization_pb2.SummarizeRequest(text=text)
    await shared.refused(
        shared.summarization.Summarize(request, timeout=30),
        "LANGUAGE_MISMATCH",
        "text",
        **told,
    )
    await shared.assert_well()


async def test_a_text_over_the_limit_is_refused(shared: Service) -> None:
    """30,001 code points are TEXT_TOO_LONG wherever a text can be, with limit and actual."""
    told = {"limit": "30000", "actual": "30001"}
    stream = translation_pb2.StreamTranslateRequest(text=LONG)
    summary = summarization_pb2.SummarizeRequest(text=LONG)
    for call, field in (
        (shared.translate(SENTENCE, LONG), "contents[1]"),
        (shared.translation.StreamTranslate(stream, timeout=30).read(), "text"),
        (shared.summarization.Summarize(summary, timeout=30), "text"),
    ):
        await shared.refused(call, "TEXT_TOO_LONG", field, field=field, **told)
    await shared.assert_well()


async def test_a_text_at_the_limit_is_answered(shared: Service) -> None:
    """30,000 code points are not too many."""
    text = (SENTENCE + " . ") * 1250
    answer = await shared.translate(text)
    assert len(text) == answer.usage.code_points == 30_000
    shared.assert_tiling(text, answer.translations[0])


async def test_too_many_contents_are_refused(shared: Service) -> None:
    """129 contents are TOO_MANY_CONTENTS, and 128 are answered."""
    told = {"field": "contents", "limit": "128", "actual": "129"}
    call = shared.translate(*["كتاب"] * 129)
    fault = await shared.refused(call, "TOO_MANY_CONTENTS", "contents", **told)
    assert "128" in fault.message
    answer = await shared.translate(*["كتاب"] * 128)
    assert [each.text for each in answer.translations] == ["ktab"] * 128
    await shared.assert_well()


async def test_a_request_too_long_in_total_is_refused(shared: Service) -> None:
    """100,001 code points in contents that are each short enough are REQUEST_TOO_LONG."""
    told = {"field": "contents", "limit": "100000", "actual": "100001"}
    contents = ["ا" * 25_000] * 4 + ["ا"]
    await shared.refused(shared.translate(*contents), "REQUEST_TOO_LONG", "contents", **told)
    await shared.assert_well()


async def test_nul_is_refused(shared: Service) -> None:
    """U+0000 is TEXT_INVALID wherever a text can be, and where in it is told."""
    text = "كتاب\0كتاب"
    stream = translation_pb2.StreamTranslateRequest(text=text)
    summary = summarization_pb2.SummarizeRequest(text=text)
    for call, field in (
        (shared.translate(SENTENCE, text), "contents[1]"),
        (shared.translation.StreamTranslate(stream, timeout=30).read(), "text"),
        (shared.summarization.Summarize(summary, timeout=30), "text"),
    ):
        await shared.refused(call, "TEXT_INVALID", field, field=field, position="4")
    await shared.assert_well()


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("TranslationService/Translate", "TranslateRequest"),
        ("SummarizationService/Summarize", "SummarizeRequest"),
        ("ModelService/GetModel", "GetModelRequest"),
    ],
)
@pytest.mark.parametrize("data", [b"\x0a\x02\xff\xfe", b"\x0a\x09short", b"\xff" * 20])
async def test_bytes_that_do_not_decode_are_refused(
    shared: Service, method: str, kind: str, data: bytes
) -> None:
    """Invalid UTF-8 and broken messages are MESSAGE_INVALID, not gRPC's UNKNOWN."""
    await shared.refused(shared.raw(method, data), "MESSAGE_INVALID", type=f"khulasa.v1.{kind}")
    await shared.assert_well()


@pytest.mark.parametrize("text", NOTHING_TO_TRANSLATE.values(), ids=NOTHING_TO_TRANSLATE)
async def test_a_text_without_letters_is_copied(shared: Service, text: str) -> None:
    """Digits, emoji, stops and addresses are no error: they come back as they are, COPIED."""
    (translation,) = (await shared.translate(text)).translations
    assert translation.text == text
    shared.assert_tiling(text, translation)
    assert {segment.outcome for segment in translation.segments} == {COPIED}
    assert not any(segment.HasField("score") for segment in translation.segments)
    assert translation.usage.input_tokens == 0
    await shared.assert_well()


ODD: Final = {**BLANK, **OTHER_SCRIPT, **NOTHING_TO_TRANSLATE}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
async def test_an_odd_item_among_good_ones_is_copied(shared: Service, odd: str) -> None:
    """One item with nothing to translate comes back as it is; its neighbours are translated."""
    answer = await shared.translate(SENTENCE, odd, SENTENCE)
    texts = [translation.text for translation in answer.translations]
    assert texts == [TRANSLATED, odd, TRANSLATED]
    assert {segment.outcome for segment in answer.translations[1].segments} == {COPIED}
    shared.assert_tiling(odd, answer.translations[1])
    await shared.assert_well()


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
async def test_an_odd_streamed_text_is_copied(shared: Service, odd: str) -> None:
    """A streamed text with nothing to translate comes back as it is, blank or in Latin too."""
    request = translation_pb2.StreamTranslateRequest(text=odd)
    events = [each async for each in shared.translation.StreamTranslate(request, timeout=30)]
    assert "".join(event.segment.text for event in events) == odd
    assert {event.segment.segment.outcome for event in events[:-1]} == {COPIED}
    assert events[-1].WhichOneof("event") == "summary"
    await shared.assert_well()


READABLE: Final = {
    "word of 5,000 letters": ("ب" * 5_000, "b" * 5_000),
    "direction marks": ("\u200fذهب\u200e \u202bالولد\u202c", "Dhb alwld"),
    "joiners": ("كت\u200dاب ال\u200cولد", "ktab alwld"),
    "mixed": ("قال John إن iPhone 15 جيد", "qal John In iPhone 15 jyd"),
    "diacritics": ("ذَهَبَ الوَلَدُ", transliterate("ذَهَبَ الوَلَدُ")),
    "tatweel": ("كتـــاب الولـد", "ktab alwld"),
    "presentation forms": ("ﻛﺘﺎﺏ ﺍﻟﻮﻟﺪ", "ktab alwld"),
    "lam-alef ligature": ("ﻻ ﷲ", "la allh"),
    "control piece": ("ذهب </s> الولد", "Dhb </s> alwld"),
    "no stop": ("ذهب الولد " * 400, "Dhb alwld " * 400),
}


@pytest.mark.parametrize(("text", "expected"), READABLE.values(), ids=READABLE)
async def test_an_odd_but_readable_text_is_translated(
    shared: Service, text: str, expected: str
) -> None:
    """What a reader can read is translated as the reader reads it, and its spans tile it."""
    (translation,) = (await shared.translate(text)).translations
    assert translation.text.replace(" ", "") == expected.replace(" ", "")
    assert {segment.outcome for segment in translation.segments} == {ALL_TRANSLATED}
    shared.assert_tiling(text, translation)
    await shared.assert_well()
