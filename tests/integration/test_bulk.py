"""Bulk streams: each item answered once, as it finishes, whatever is wrong with it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2

from khulasa.v1 import common_pb2, summarization_pb2, translation_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from contextlib import AbstractAsyncContextManager

    from tests.integration.conftest import Fault, Gate, Service

    Serve = Callable[..., AbstractAsyncContextManager[Service]]

Item = translation_pb2.BulkTranslateRequest
SummaryItem = summarization_pb2.BulkSummarizeRequest
Answer = translation_pb2.BulkTranslateResponse

SENTENCE: Final = "ذهب الولد إلى المدرسة"
TRANSLATED: Final = "Dhb alwld Ile almdrsG"
COPIED: Final = translation_pb2.SEGMENT_OUTCOME_COPIED


async def bulk(service: Service, items: Iterable[Item], **call: Any) -> list[Answer]:  # noqa: ANN401 - of the call
    """Send all, half-close, read all."""
    return [each async for each in service.translation.BulkTranslate(iter(items), **call)]


async def bulk_raw(service: Service, items: Iterable[bytes]) -> list[Answer]:
    """The same with bytes that no stub would send."""
    call: Any = service.channel.stream_stream("/khulasa.v1.TranslationService/BulkTranslate")
    return [Answer.FromString(data) async for data in call(iter(items))]


def refused(service: Service, answer: Answer) -> Fault:
    """The status in an answer."""
    assert answer.WhichOneof("result") == "error"
    return service.fault_in(answer.error)


async def test_every_item_is_answered_once_in_any_order(
    script: Callable[..., object], gate: Gate, serve: Serve
) -> None:
    """A held item does not hold up those behind it; each id has one answer, and the right one."""

    def hold(call: Any) -> None:  # noqa: ANN401 - a scripted call
        if any("▁صبر" in tokens for tokens in call.batch):
            gate.hold(call)

    script(before=hold)
    contents = {f"item {number}": f"كتاب {'ب' * (number + 1)}" for number in range(100)}
    async with serve() as service:
        items = [Item(id="held", content="صبر", options=common_pb2.Options(deterministic=True))]
        items += [Item(id=name, content=content) for name, content in contents.items()]
        seen: list[Answer] = []
        async for answer in service.translation.BulkTranslate(iter(items), timeout=60):
            seen.append(answer)
            if len(seen) == 100:
                gate.opened.set()
    assert [answer.id for answer in seen].index("held") == 100
    answers = {answer.id: answer.translation.text for answer in seen}
    assert len(answers) == len(seen) == 101
    assert answers.pop("held") == "Sbr"
    assert answers == {name: f"ktab {'b' * (n + 1)}" for n, name in enumerate(contents)}


async def test_a_bad_id_fails_its_item_only(service: Service) -> None:
    """Empty and overlong ids are OPTION_INVALID in the item; 256 code points are accepted."""
    items = [
        Item(id="", content=SENTENCE),
        Item(id="م" * 257, content=SENTENCE),
        Item(id="م" * 256, content=SENTENCE),
        Item(id="good", content=SENTENCE),
    ]
    answers = {answer.id: answer for answer in await bulk(service, items)}
    assert len(answers) == 4
    for bad, told in (("", {}), ("م" * 257, {"limit": "256", "actual": "257"})):
        fault = refused(service, answers[bad])
        assert (fault.code.name, fault.reason) == ("INVALID_ARGUMENT", "OPTION_INVALID")
        assert fault.field == "id"
        assert fault.metadata == {"field": "id", **told}
        assert fault.request_id
    for good in ("م" * 256, "good"):
        assert answers[good].translation.text == TRANSLATED
    await service.assert_well()


async def test_an_id_in_flight_already_fails(
    script: Callable[..., object], gate: Gate, serve: Serve
) -> None:
    """The second of two items with an id in flight is refused; once answered the id is free."""
    script(before=gate.hold)
    async with serve() as service:
        queue: asyncio.Queue[Item | None] = asyncio.Queue()

        async def items() -> AsyncIterator[Item]:
            while (item := await queue.get()) is not None:
                yield item

        call = service.translation.BulkTranslate(items())
        for _ in range(2):
            queue.put_nowait(Item(id="same", content=SENTENCE))
        fault = refused(service, await read(call))
        assert (fault.reason, fault.field) == ("OPTION_INVALID", "id")
        gate.opened.set()
        assert (await read(call)).translation.text == TRANSLATED
        queue.put_nowait(Item(id="same", content="كتاب"))
        assert (await read(call)).translation.text == "ktab"
        queue.put_nowait(None)
        assert await call.read() is grpc.aio.EOF
        await service.assert_well()


async def read(call: Any) -> Answer:  # noqa: ANN401 - a stream of either kind
    """The next answer."""
    answer = await call.read()
    assert isinstance(answer, Answer)
    return answer


@pytest.mark.parametrize(
    ("given", "actual"),
    [(Duration(), "0"), (Duration(seconds=-1), "-1"), (Duration(nanos=-1), "-1e-09")],
)
async def test_a_timeout_that_is_not_positive_is_refused(
    service: Service, given: Duration, actual: str
) -> None:
    """An item's timeout of 0 or less is OPTION_INVALID at `timeout`."""
    items = [Item(id="bad", content=SENTENCE, timeout=given), Item(id="good", content=SENTENCE)]
    answers = {answer.id: answer for answer in await bulk(service, items)}
    fault = refused(service, answers["bad"])
    assert (fault.code.name, fault.reason) == ("INVALID_ARGUMENT", "OPTION_INVALID")
    assert fault.metadata == {"field": "timeout", "actual": actual}
    assert answers["good"].translation.text == TRANSLATED


async def test_a_very_long_timeout_is_brought_forward(service: Service) -> None:
    """More than the longest deadline is no error."""
    far = Duration(seconds=315_576_000_000)
    (answer,) = await bulk(service, [Item(id="1", content=SENTENCE, timeout=far)])
    assert answer.translation.text == TRANSLATED


async def test_an_items_timeout_ends_that_item(
    script: Callable[..., object], gate: Gate, serve: Serve
) -> None:
    """An item whose time is up is DEADLINE_EXCEEDED; one with time is answered."""
    script(before=gate.hold)
    async with serve() as service:
        items = [
            Item(id="short", content=SENTENCE, timeout=Duration(nanos=300_000_000)),
            Item(id="long", content="كتاب"),
        ]
        answers = []
        async for answer in service.translation.BulkTranslate(iter(items), timeout=60):
            answers.append(answer)
            gate.opened.set()
    assert [answer.id for answer in answers] == ["short", "long"]
    fault = refused(service, answers[0])
    assert (fault.code.name, fault.reason) == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")
    assert answers[1].translation.text == "ktab"


async def test_bad_items_fail_alone(service: Service) -> None:
    """Each refusal of Translate is in the answer of its item, and the stream goes on."""
    cases = {
        "TEXT_TOO_LONG": Item(content="ا" * 30_001),
        "TEXT_INVALID": Item(content="كتاب\0"),
        "LANGUAGE_UNSUPPORTED": Item(content=SENTENCE, target_language_code="fr"),
        "MODEL_NOT_FOUND": Item(content=SENTENCE, model="other"),
        "OPTION_INVALID": Item(content=SENTENCE, options=common_pb2.Options(beam_size=17)),
    }
    items = []
    for reason, item in cases.items():
        item.id = reason
        items += [item, Item(id=f"after {reason}", content=SENTENCE)]
    answers = {answer.id: answer for answer in await bulk(service, items)}
    assert len(answers) == len(items)
    for reason in cases:
        assert refused(service, answers[reason]).reason == reason
        assert answers[f"after {reason}"].translation.text == TRANSLATED
    await service.assert_well()


@pytest.mark.parametrize("data", [b"\xff\xff", b"\x0a\x02\xff\xfe", b"\x12\x02\xc3\x28"])
async def test_an_item_that_does_not_decode_fails_alone(service: Service, data: bytes) -> None:
    """Broken bytes are MESSAGE_INVALID in an answer without id; the next item is answered."""
    good = Item(id="good", content=SENTENCE).SerializeToString()
    answers = {answer.id: answer for answer in await bulk_raw(service, [data, good])}
    fault = refused(service, answers[""])
    assert (fault.code.name, fault.reason) == ("INVALID_ARGUMENT", "MESSAGE_INVALID")
    assert answers["good"].translation.text == TRANSLATED
    await service.assert_well()


ODD: Final = ("", " \n\u200f", "12", "😀", "only Latin", "https://example.org/خبر", "." * 100)


async def test_an_item_with_nothing_to_translate_is_copied(service: Service) -> None:
    """Blank, digits, emoji, Latin and addresses are no errors in a bulk stream."""
    items = [Item(id=f"{i}", content=odd) for i, odd in enumerate(ODD)]
    answers = {answer.id: answer for answer in await bulk(service, items)}
    for i, odd in enumerate(ODD):
        translation = answers[f"{i}"].translation
        assert translation.text == odd
        assert {segment.outcome for segment in translation.segments} == {COPIED}
        assert translation.model.name


async def test_a_bulk_item_with_nothing_to_summarize_is_given_back(service: Service) -> None:
    """The same for summaries: a line in another script does not fail its item."""
    items = [SummaryItem(id=f"{i}", content=odd) for i, odd in enumerate(ODD)]
    call = service.summarization.BulkSummarize(iter(items))
    answers = {answer.id: answer async for answer in call}
    assert len(answers) == len(ODD)
    for i, odd in enumerate(ODD):
        assert answers[f"{i}"].WhichOneof("result") == "summary", answers[f"{i}"]
        assert answers[f"{i}"].summary.text == odd


async def test_bad_summary_items_fail_alone(service: Service) -> None:
    """Refusals of Summarize are in the answers of their items."""
    beams = common_pb2.Options(beam_size=0)
    items = [
        SummaryItem(id="TEXT_TOO_LONG", content="ا" * 30_001),
        SummaryItem(id="", content=SENTENCE),
        SummaryItem(id="MODEL_NOT_FOUND", content=SENTENCE, model="other"),
        SummaryItem(id="OPTION_INVALID", content=SENTENCE, options=beams),
        SummaryItem(id="good", content=SENTENCE),
    ]
    call = service.summarization.BulkSummarize(iter(items))
    answers = {answer.id: answer async for answer in call}
    assert len(answers) == len(items)
    assert answers.pop("good").summary.text
    for name, answer in answers.items():
        assert service.fault_in(answer.error).reason == name or not name
        assert answer.error.code != code_pb2.OK


async def test_an_empty_stream_ends_well(service: Service) -> None:
    """No items, no answers, no error."""
    assert await bulk(service, []) == []
    await service.assert_well()


async def test_the_window_bounds_what_is_read_ahead(
    script: Callable[..., object], gate: Gate, serve: Serve
) -> None:
    """While no answer is ready the server reads a window of items and not one more."""
    script(before=gate.hold)
    async with serve() as service:
        written = 0

        async def items() -> AsyncIterator[Item]:
            nonlocal written
            for number in range(200):
                yield Item(id=f"{number}", content=f"كتاب {number}")
                written = number

        call = service.translation.BulkTranslate(items())
        while service.statistics().requests < 32:
            await service.server.scheduler.change()
        for _ in range(3):
            assert await service.health() == "SERVING"  # a round trip: what could be read is read
        assert service.statistics().requests == 32
        gate.opened.set()
        answers = [answer async for answer in call]
    assert len({answer.id for answer in answers}) == len(answers) == 200
    assert written == 199
