"""Languages, models and options that are not served: refused exactly, with what would be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest

from khulasa.v1 import common_pb2, model_pb2, summarization_pb2, translation_pb2
from khulasa_server.bundles import store

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from tests.integration.conftest import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")

SENTENCE: Final = "ذهب الولد إلى المدرسة"
PAIRS: Final = "ar→en"
TRANSLATOR: Final = "demo-marian-ar-en"
SUMMARIZER: Final = "demo-mt5-ar-summary"


def translate(service: Service, **fields: Any) -> Awaitable[object]:  # noqa: ANN401 - of the request
    """One unary call."""
    return service.translate(SENTENCE, **fields)


def summarize(service: Service, **fields: Any) -> Awaitable[object]:  # noqa: ANN401 - of the request
    """One unary call."""
    request = summarization_pb2.SummarizeRequest(text=SENTENCE, **fields)
    return service.summarization.Summarize(request, timeout=30)


def stream(service: Service, **fields: Any) -> Awaitable[object]:  # noqa: ANN401 - of the request
    """The first message of a stream."""
    request = translation_pb2.StreamTranslateRequest(text=SENTENCE, **fields)
    return service.translation.StreamTranslate(request, timeout=30).read()


@pytest.mark.parametrize(
    ("fields", "requested", "at"),
    [
        ({"target_language_code": "fr"}, "ar→fr", "target_language_code"),
        ({"source_language_code": "fa"}, "fa→en", "source_language_code"),
        ({"source_language_code": "xx-??", "target_language_code": "🙂"}, "xx-??→🙂", "source"),
    ],
)
async def test_a_pair_not_served_is_refused(
    shared: Service, fields: dict[str, str], requested: str, at: str
) -> None:
    """LANGUAGE_UNSUPPORTED names the side at fault and lists what is served."""
    field = at if at.endswith("code") else f"{at}_language_code"
    told = {"requested": requested, "served": PAIRS}
    await shared.refused(
        shared.translate(SENTENCE, **fields), "LANGUAGE_UNSUPPORTED", field, **told
    )
    await shared.refused(stream(shared, **fields), "LANGUAGE_UNSUPPORTED", field, **told)
    await shared.assert_well()


async def test_a_summary_language_not_served_is_refused(shared: Service) -> None:
    """Summarize refuses a language of the text, or of the translation, that nothing serves."""
    await shared.refused(
        summarize(shared, language_code="de"),
        "LANGUAGE_UNSUPPORTED",
        "language_code",
        requested="de",
        served="ar",
    )
    await shared.refused(
        summarize(shared, target_language_code="de"),
        "LANGUAGE_UNSUPPORTED",
        "target_language_code",
        requested="ar→de",
        served=PAIRS,
    )
    await shared.assert_well()


@pytest.mark.parametrize("code", ["ar-EG", "AR", "ar_SA", "ar-Arab-EG"])
async def test_a_region_is_served_by_its_language(shared: Service, code: str) -> None:
    """`ar-EG` is served by `ar`, and the answer says so."""
    answer = await shared.translate(SENTENCE, source_language_code=code)
    assert answer.translations[0].source_language_code == "ar"
    assert answer.translations[0].text == "Dhb alwld Ile almdrsG"


@pytest.mark.parametrize("name", ["no-such-model", "نموذج", SUMMARIZER])
async def test_an_unknown_translator_is_not_found(shared: Service, name: str) -> None:
    """A name that no translator has, a summarizer's included, is MODEL_NOT_FOUND."""
    for call in (shared.translate(SENTENCE, model=name), stream(shared, model=name)):
        await shared.refused(
            call, "MODEL_NOT_FOUND", "model", code="NOT_FOUND", model=name, candidates=TRANSLATOR
        )
    await shared.assert_well()


async def test_an_unknown_summarizer_is_not_found(shared: Service) -> None:
    """Each of the two models of a Summarize request has a field of its own to be wrong in."""
    for field, there_is in (("model", SUMMARIZER), ("translation_model", TRANSLATOR)):
        await shared.refused(
            summarize(shared, target_language_code="en", **{field: "other"}),
            "MODEL_NOT_FOUND",
            field,
            code="NOT_FOUND",
            model="other",
            candidates=there_is,
        )
    await shared.assert_well()


async def test_a_model_of_any_name_is_told_or_not_found(shared: Service) -> None:
    """GetModel of a name that nothing has is MODEL_NOT_FOUND at `name`."""
    for name in ("", "other"):
        await shared.refused(
            shared.models.GetModel(model_pb2.GetModelRequest(name=name), timeout=30),
            "MODEL_NOT_FOUND",
            "name",
            code="NOT_FOUND",
            model=name,
            candidates=f"{TRANSLATOR}, {SUMMARIZER}",
        )
    await shared.assert_well()


@pytest.mark.parametrize("size", [1_000, 100_000, 4_000_000])
async def test_an_endless_name_is_refused_like_a_short_one(shared: Service, size: int) -> None:
    """What a caller sent is repeated in part only: trailing metadata has a hard cap of its own."""
    for call, code, reason in (
        (shared.translate(SENTENCE, model="م" * (size // 2)), "NOT_FOUND", "MODEL_NOT_FOUND"),
        (
            shared.translate(SENTENCE, source_language_code="x" * size),
            "INVALID_ARGUMENT",
            "LANGUAGE_UNSUPPORTED",
        ),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        fault = shared.fault_of(caught.value)
        assert (fault.code.name, fault.reason) == (code, reason)
        assert fault.request_id
    await shared.assert_well()


WRONG: Final = {
    "beam_size 0": ({"beam_size": 0}, {"limit": "1 to 16", "actual": "0"}),
    "beam_size 17": ({"beam_size": 17}, {"limit": "1 to 16", "actual": "17"}),
    "beam_size -1": ({"beam_size": -1}, {"limit": "1 to 16", "actual": "-1"}),
    "max_output_tokens 0": ({"max_output_tokens": 0}, {"limit": "at least 1", "actual": "0"}),
    "cache_mode 9": ({"cache_mode": 9}, {"actual": "9"}),
    "priority 7": ({"priority": 7}, {"actual": "7"}),
    "priority -1": ({"priority": -1}, {"actual": "-1"}),
}


@pytest.mark.parametrize(("options", "told"), WRONG.values(), ids=WRONG)
async def test_an_option_out_of_range_is_refused(
    shared: Service, options: dict[str, Any], told: dict[str, str]
) -> None:
    """OPTION_INVALID names the option, what it was and what it may be; so do all methods."""
    wrong = common_pb2.Options(**options)
    field = f"options.{next(iter(options))}"
    for call in (
        shared.translate(SENTENCE, options=wrong),
        stream(shared, options=wrong),
        summarize(shared, options=wrong),
    ):
        await shared.refused(call, "OPTION_INVALID", field, field=field, **told)
    await shared.assert_well()


async def test_more_output_than_the_model_writes_is_refused(shared: Service) -> None:
    """`max_output_tokens` above the model's own limit is refused, and the limit is accepted."""
    field = "options.max_output_tokens"
    most = {
        bundle.manifest.name: bundle.manifest.limits.max_output_tokens
        for bundle in store.embedded()
    }
    for name, ask in ((TRANSLATOR, translate), (SUMMARIZER, summarize)):
        over = common_pb2.Options(max_output_tokens=most[name] + 1)
        told = {"limit": str(most[name]), "actual": str(most[name] + 1)}
        await shared.refused(ask(shared, options=over), "OPTION_INVALID", field, **told)
    for options in (
        common_pb2.Options(max_output_tokens=most[TRANSLATOR]),
        common_pb2.Options(beam_size=16),
        common_pb2.Options(beam_size=1),
    ):
        answer = await shared.translate(SENTENCE, options=options)
        assert answer.translations[0].text == "Dhb alwld Ile almdrsG"


async def test_an_unknown_strategy_is_refused(shared: Service) -> None:
    """A strategy that this server does not know is not answered by another one."""
    await shared.refused(
        summarize(shared, long_document_strategy=5),
        "OPTION_INVALID",
        "long_document_strategy",
        field="long_document_strategy",
        actual="5",
    )
    await shared.assert_well()


async def test_a_negative_page_is_refused(shared: Service) -> None:
    """ListModels says what is wrong with a page size."""
    await shared.refused(
        shared.models.ListModels(model_pb2.ListModelsRequest(page_size=-1), timeout=30),
        "OPTION_INVALID",
        "page_size",
        actual="-1",
    )
    await shared.assert_well()
