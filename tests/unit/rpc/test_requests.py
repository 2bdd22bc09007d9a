"""Everything that can be wrong with a request is said before any work is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from khulasa.v1 import common_pb2, summarization_pb2, translation_pb2
from khulasa_server.errors import InvalidRequestError, Reason
from khulasa_server.rpc.requests import (
    Bounds,
    bulk_summarize_job,
    bulk_translate_job,
    check_id,
    decode,
    stream_translate_job,
    summarize_job,
    translate_job,
)
from khulasa_server.scheduling import CacheMode, Priority
from khulasa_server.tasks.values import Strategy

if TYPE_CHECKING:
    from google.protobuf.message import Message

BOUNDS: Final = Bounds(
    max_code_points=10,
    max_request_code_points=25,
    max_contents=3,
    default_deadline=60.0,
    max_deadline=300.0,
)
KINDS: Final[tuple[type[Message], ...]] = (
    translation_pb2.TranslateRequest,
    translation_pb2.BulkTranslateRequest,
    summarization_pb2.SummarizeRequest,
)


def contents(*texts: str, **fields: Any) -> translation_pb2.TranslateRequest:  # noqa: ANN401 - of the request
    """A unary request."""
    return translation_pb2.TranslateRequest(contents=texts, **fields)


@given(kind=st.sampled_from(KINDS), data=st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(kind: type[Message], data: bytes) -> None:
    """Whatever arrives, what is raised is MESSAGE_INVALID with the type that was expected."""
    fault: InvalidRequestError | None = None
    try:
        assert isinstance(decode(kind, data), kind)
    except InvalidRequestError as error:
        fault = error
    if fault is not None:
        assert fault.reason is Reason.MESSAGE_INVALID
        assert fault.metadata == {"type": kind.DESCRIPTOR.full_name}


@given(text=st.text(max_size=30))
def test_what_was_encoded_decodes(text: str) -> None:
    """A well-formed message comes back as it was."""
    message = contents(text, model=text)
    assert decode(translation_pb2.TranslateRequest, message.SerializeToString()) == message


@pytest.mark.parametrize(
    ("remaining", "granted"), [(None, 60.0), (5.0, 5.0), (300.0, 300.0), (1e9, 300.0), (0.0, 0.0)]
)
def test_deadlines_are_given_and_bounded(remaining: float | None, granted: float) -> None:
    """None is the default, and nothing is later than the latest."""
    assert BOUNDS.seconds(remaining) == granted


@pytest.mark.parametrize(
    ("request_", "reason", "field", "told"),
    [
        (contents(), Reason.TEXT_EMPTY, "contents", {}),
        (contents("", " \u200f"), Reason.TEXT_EMPTY, "contents", {}),
        (
            contents("ا", "ا" * 11),
            Reason.TEXT_TOO_LONG,
            "contents[1]",
            {"limit": "10", "actual": "11"},
        ),
        (contents("ا", "ab\0"), Reason.TEXT_INVALID, "contents[1]", {"position": "2"}),
        (
            contents(*["ا" * 9] * 3),
            Reason.REQUEST_TOO_LONG,
            "contents",
            {"limit": "25", "actual": "27"},
        ),
        (
            contents(*["ا"] * 4),
            Reason.TOO_MANY_CONTENTS,
            "contents",
            {"limit": "3", "actual": "4"},
        ),
    ],
)
def test_what_is_over_a_limit_is_told(
    request_: translation_pb2.TranslateRequest, reason: Reason, field: str, told: dict[str, str]
) -> None:
    """Reason, field path, limit and actual value; the message repeats all of them."""
    with pytest.raises(InvalidRequestError) as caught:
        translate_job(request_, BOUNDS, 1.0)
    error = caught.value
    assert (error.reason, error.field) == (reason, field)
    assert error.metadata == {"field": field, **told}
    assert all(value in error.message for value in error.metadata.values())


LETTERS = st.characters(exclude_characters="\0", exclude_categories=["Cs"])


@given(st.lists(st.text(LETTERS, max_size=12), max_size=4))
def test_a_job_is_within_its_bounds(texts: list[str]) -> None:
    """What passes the checks is within every limit and is what was sent."""
    try:
        job = translate_job(contents(*texts), BOUNDS, 1.0)
    except InvalidRequestError:
        return
    assert job.contents == tuple(texts)
    assert 0 < len(texts) <= 3
    assert all(len(text) <= 10 for text in texts)
    assert sum(map(len, texts)) <= 25
    assert any(text.strip() for text in texts)


def test_limits_count_code_points() -> None:
    """An emoji outside the basic plane is one, whatever it takes in bytes or UTF-16."""
    assert translate_job(contents("😀" * 9 + "ا"), BOUNDS, 1.0).contents == ("😀" * 9 + "ا",)


def test_defaults_are_filled_in() -> None:
    """What is left out means Arabic to English by the model's own defaults, at once."""
    job = translate_job(contents("ا"), BOUNDS, 7.0)
    assert (job.source_language_code, job.target_language_code) == ("ar", "en")
    assert (job.deadline, job.lenient) == (7.0, False)
    options = job.options
    assert (options.beam_size, options.max_output_tokens, options.model) == (None, None, "")
    assert (options.priority, options.patient) == (Priority.INTERACTIVE, False)
    assert (options.cache_mode, options.deterministic) == (CacheMode.USE, False)


def test_wishes_are_taken_over() -> None:
    """Every option of a request is in the job."""
    wished = common_pb2.Options(
        beam_size=3,
        max_output_tokens=9,
        cache_mode=common_pb2.CACHE_MODE_BYPASS,
        deterministic=True,
        priority=common_pb2.PRIORITY_BULK,
    )
    job = translate_job(
        contents(
            "ا", options=wished, model="m", source_language_code="fa", target_language_code="fr"
        ),
        BOUNDS,
        1.0,
    )
    options = job.options
    assert (job.source_language_code, job.target_language_code) == ("fa", "fr")
    assert (options.model, options.beam_size, options.max_output_tokens) == ("m", 3, 9)
    assert (options.cache_mode, options.deterministic) == (CacheMode.BYPASS, True)
    assert (options.priority, options.patient) == (Priority.BULK, False)


def test_streams_and_items_are_lenient() -> None:
    """One text, blank or not, is no whole request: there is nothing to refuse it for."""
    stream = translation_pb2.StreamTranslateRequest(text=" ")
    assert stream_translate_job(stream, BOUNDS, 1.0).lenient
    item = translation_pb2.BulkTranslateRequest(content=" ")
    job = bulk_translate_job(item, BOUNDS, 100.0)
    assert (job.lenient, job.options.patient, job.options.priority) == (True, True, Priority.BULK)
    assert job.deadline == 160.0
    assert bulk_summarize_job(
        summarization_pb2.BulkSummarizeRequest(content=" "), BOUNDS, 1.0
    ).lenient


@pytest.mark.parametrize(
    ("given_", "seconds"),
    [
        (Duration(seconds=5), 5.0),
        (Duration(nanos=1_000), 1e-6),
        (Duration(seconds=301), 300.0),
        (Duration(seconds=315_576_000_000), 300.0),
    ],
)
def test_items_bring_their_own_time(given_: Duration, seconds: float) -> None:
    """A timeout runs from when the item is read, and is bounded like a deadline."""
    item = translation_pb2.BulkTranslateRequest(content="ا", timeout=given_)
    assert bulk_translate_job(item, BOUNDS, 100.0).deadline == pytest.approx(100.0 + seconds)


@pytest.mark.parametrize("given_", [Duration(), Duration(seconds=-5), Duration(nanos=-1)])
def test_no_time_is_refused(given_: Duration) -> None:
    """A timeout that is set must be more than 0."""
    for make in (
        lambda: bulk_translate_job(
            translation_pb2.BulkTranslateRequest(content="ا", timeout=given_), BOUNDS, 1.0
        ),
        lambda: bulk_summarize_job(
            summarization_pb2.BulkSummarizeRequest(content="ا", timeout=given_), BOUNDS, 1.0
        ),
    ):
        with pytest.raises(InvalidRequestError) as caught:
            make()
        assert (caught.value.reason, caught.value.field) == (Reason.OPTION_INVALID, "timeout")


@pytest.mark.parametrize(
    ("number", "strategy"),
    [(0, Strategy.LEAD), (1, Strategy.LEAD), (2, Strategy.HIERARCHICAL)],
)
def test_the_strategy_is_lead_unless_asked_otherwise(
    number: summarization_pb2.LongDocumentStrategy.ValueType, strategy: Strategy
) -> None:
    """Unspecified means LEAD."""
    request = summarization_pb2.SummarizeRequest(text="ا", long_document_strategy=number)
    assert summarize_job(request, BOUNDS, 1.0).strategy is strategy


def test_a_summarys_fields_are_taken_over() -> None:
    """Both languages and both models; an empty language is left to the text."""
    request = summarization_pb2.SummarizeRequest(
        text="ا", model="m", translation_model="t", target_language_code="en"
    )
    job = summarize_job(request, BOUNDS, 1.0)
    assert (job.language_code, job.target_language_code) == ("", "en")
    assert (job.options.model, job.translation_model) == ("m", "t")


@pytest.mark.parametrize("identity", ["x", "م" * 256])
def test_an_id_of_its_own_passes(identity: str) -> None:
    """One to 256 code points, whatever else is in flight."""
    check_id(identity, {"other"})


@pytest.mark.parametrize(
    ("identity", "told"),
    [("", {}), ("م" * 257, {"limit": "256", "actual": "257"}), ("twin", {})],
)
def test_an_id_that_tells_nothing_apart_is_refused(identity: str, told: dict[str, str]) -> None:
    """Empty, too long, or taken."""
    with pytest.raises(InvalidRequestError) as caught:
        check_id(identity, {"twin"})
    assert (caught.value.reason, caught.value.field) == (Reason.OPTION_INVALID, "id")
    assert caught.value.metadata == {"field": "id", **told}
