"""From bytes to bounded jobs: everything that can be wrong with a request is said here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

from google.protobuf.message import DecodeError, Message

from khulasa.v1 import common_pb2, summarization_pb2, translation_pb2
from khulasa_server.errors import InvalidRequestError, Reason
from khulasa_server.scheduling.types import CacheMode, Priority
from khulasa_server.tasks.values import Options, Strategy, SummarizeJob, TranslateJob
from khulasa_server.text.visibility import is_blank

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from google.protobuf.duration_pb2 import Duration

MAX_BEAM_SIZE: Final = 16
MAX_ID_CODE_POINTS: Final = 256
DEFAULT_SOURCE: Final = "ar"
DEFAULT_TARGET: Final = "en"

Request = TypeVar("Request", bound=Message)
Answer = TypeVar("Answer", bound=Message)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What requests may ask for: sizes in code points, durations in seconds."""

    max_code_points: int
    max_request_code_points: int
    max_contents: int
    default_deadline: float
    max_deadline: float
    max_message_bytes: int = 4 * 1024 * 1024
    """Of an answer too."""

    def sendable(self, answer: Answer) -> Answer:
        """The answer, if it fits into a message.

        gRPC would refuse it as RESOURCE_EXHAUSTED, and channels would ask for it again.

        Raises:
            InvalidRequestError: REQUEST_TOO_LONG: thousands of segments with findings do not fit.
        """
        size = answer.ByteSize()
        if size <= self.max_message_bytes:
            return answer
        raise InvalidRequestError(
            Reason.REQUEST_TOO_LONG,
            f"the answer would have {size} bytes; the limit is {self.max_message_bytes}: "
            "send fewer or shorter texts",
            metadata={"limit": str(self.max_message_bytes), "actual": str(size)},
        )

    def seconds(self, remaining: float | None) -> float:
        """How long a call may take, given what is left of the caller's deadline."""
        return min(self.default_deadline if remaining is None else remaining, self.max_deadline)


def decode(kind: type[Request], data: bytes) -> Request:
    """Parse a message.

    Raises:
        InvalidRequestError: MESSAGE_INVALID, also for text that is not UTF-8.
    """
    try:
        return kind.FromString(data)
    except (DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequestError(
            Reason.MESSAGE_INVALID,
            f"the message is not a valid {kind.DESCRIPTOR.full_name} (is every text UTF-8?)",
            metadata={"type": kind.DESCRIPTOR.full_name},
        ) from error


def translate_job(
    request: translation_pb2.TranslateRequest, bounds: Bounds, deadline: float
) -> TranslateJob:
    """A job of one or more contents.

    Raises:
        InvalidRequestError: a limit, an option or a text is wrong.
    """
    contents = tuple(request.contents)
    _check_count(len(contents), bounds.max_contents)
    for i, content in enumerate(contents):
        _check_text(content, f"contents[{i}]", bounds)
    _check_total(sum(map(len, contents)), bounds.max_request_code_points)
    _check_not_blank(contents, "contents")
    return _translation(contents, request, Priority.INTERACTIVE, deadline)


def stream_translate_job(
    request: translation_pb2.StreamTranslateRequest, bounds: Bounds, deadline: float
) -> TranslateJob:
    """A job of one text, blank or not; raises as `translate_job` does."""
    _check_text(request.text, "text", bounds)
    job = _translation((request.text,), request, Priority.INTERACTIVE, deadline)
    return replace(job, lenient=True)


def bulk_translate_job(
    request: translation_pb2.BulkTranslateRequest, bounds: Bounds, now: float
) -> TranslateJob:
    """A job of one item; raises as `translate_job` does."""
    _check_text(request.content, "content", bounds)
    timeout = request.timeout if request.HasField("timeout") else None
    deadline = now + _item_seconds(timeout, bounds)
    return replace(_translation((request.content,), request, Priority.BULK, deadline), lenient=True)


def _translation(
    contents: tuple[str, ...],
    request: translation_pb2.TranslateRequest
    | translation_pb2.StreamTranslateRequest
    | translation_pb2.BulkTranslateRequest,
    default: Priority,
    deadline: float,
) -> TranslateJob:
    return TranslateJob(
        contents=contents,
        source_language_code=request.source_language_code or DEFAULT_SOURCE,
        target_language_code=request.target_language_code or DEFAULT_TARGET,
        options=_options(request.options, request.model, default),
        deadline=deadline,
    )


def summarize_job(
    request: summarization_pb2.SummarizeRequest, bounds: Bounds, deadline: float
) -> SummarizeJob:
    """A job of one text; raises as `translate_job` does."""
    _check_text(request.text, "text", bounds)
    _check_not_blank((request.text,), "text")
    return _summary(request.text, request, Priority.INTERACTIVE, deadline)


def bulk_summarize_job(
    request: summarization_pb2.BulkSummarizeRequest, bounds: Bounds, now: float
) -> SummarizeJob:
    """A job of one item; raises as `translate_job` does."""
    _check_text(request.content, "content", bounds)
    timeout = request.timeout if request.HasField("timeout") else None
    deadline = now + _item_seconds(timeout, bounds)
    return replace(_summary(request.content, request, Priority.BULK, deadline), lenient=True)


def _summary(
    text: str,
    request: summarization_pb2.SummarizeRequest | summarization_pb2.BulkSummarizeRequest,
    default: Priority,
    deadline: float,
) -> SummarizeJob:
    hierarchical = summarization_pb2.LONG_DOCUMENT_STRATEGY_HIERARCHICAL
    _check_enum(request.long_document_strategy, _STRATEGIES, "long_document_strategy")
    return SummarizeJob(
        text=text,
        language_code=request.language_code,
        target_language_code=request.target_language_code,
        strategy=Strategy.HIERARCHICAL
        if request.long_document_strategy == hierarchical
        else Strategy.LEAD,
        options=_options(request.options, request.model, default),
        deadline=deadline,
        translation_model=request.translation_model,
    )


def check_id(identity: str, in_flight: set[str]) -> None:
    """An item's id must tell its answer from all others.

    Raises:
        InvalidRequestError: OPTION_INVALID: it is empty, too long, or in flight already.
    """
    if not identity:
        raise _invalid(Reason.OPTION_INVALID, "id", "id is empty; answers are told apart by it")
    if len(identity) > MAX_ID_CODE_POINTS:
        raise _over(Reason.OPTION_INVALID, "id", "code points", MAX_ID_CODE_POINTS, len(identity))
    if identity in in_flight:
        raise _invalid(Reason.OPTION_INVALID, "id", "an item with this id is in flight already")


def _item_seconds(timeout: Duration | None, bounds: Bounds) -> float:
    if timeout is None:
        return bounds.default_deadline
    seconds = timeout.seconds + timeout.nanos / 1e9
    if seconds <= 0:
        message = f"timeout is {seconds:g} s; it must be more than 0 s"
        raise _invalid(Reason.OPTION_INVALID, "timeout", message, actual=f"{seconds:g}")
    return min(seconds, bounds.max_deadline)


def _options(options: common_pb2.Options, model: str, default: Priority) -> Options:
    beam = options.beam_size if options.HasField("beam_size") else None
    tokens = options.max_output_tokens if options.HasField("max_output_tokens") else None
    _check_range(beam, "options.beam_size", MAX_BEAM_SIZE)
    _check_range(tokens, "options.max_output_tokens", None)
    _check_enum(options.cache_mode, _CACHE_MODES, "options.cache_mode")
    _check_enum(options.priority, _KNOWN_PRIORITIES, "options.priority")
    bypass = options.cache_mode == common_pb2.CACHE_MODE_BYPASS
    return Options(
        model=model,
        beam_size=beam,
        max_output_tokens=tokens,
        cache_mode=CacheMode.BYPASS if bypass else CacheMode.USE,
        deterministic=options.deterministic,
        priority=_PRIORITIES.get(options.priority, default),
        patient=default is Priority.BULK,
    )


# The library makes a new list at each call of `values`.
_CACHE_MODES: Final = frozenset(common_pb2.CacheMode.values())
_KNOWN_PRIORITIES: Final = frozenset(common_pb2.Priority.values())
_STRATEGIES: Final = frozenset(summarization_pb2.LongDocumentStrategy.values())
_PRIORITIES: Final = {
    common_pb2.PRIORITY_INTERACTIVE: Priority.INTERACTIVE,
    common_pb2.PRIORITY_BULK: Priority.BULK,
}


def _check_count(actual: int, limit: int) -> None:
    if actual == 0:
        raise _invalid(Reason.TEXT_EMPTY, "contents", "contents is empty")
    if actual > limit:
        raise _over(Reason.TOO_MANY_CONTENTS, "contents", "texts", limit, actual)


def _check_text(text: str, field: str, bounds: Bounds) -> None:
    if len(text) > bounds.max_code_points:
        limit = bounds.max_code_points
        raise _over(Reason.TEXT_TOO_LONG, field, "code points", limit, len(text))
    position = text.find("\0")
    if position >= 0:
        message = f"{field} holds U+0000 at code point {position}"
        raise _invalid(Reason.TEXT_INVALID, field, message, position=str(position))


def _check_total(actual: int, limit: int) -> None:
    if actual > limit:
        raise _over(Reason.REQUEST_TOO_LONG, "contents", "code points in total", limit, actual)


def _check_not_blank(texts: Sequence[str], field: str) -> None:
    if all(map(is_blank, texts)):
        raise _invalid(Reason.TEXT_EMPTY, field, f"{field} holds nothing but white space")


def _check_range(value: int | None, field: str, most: int | None) -> None:
    if value is None or (value >= 1 and (most is None or value <= most)):
        return
    limit = "at least 1" if most is None else f"1 to {most}"
    message = f"{field} is {value}; it must be {limit}"
    raise _invalid(Reason.OPTION_INVALID, field, message, limit=limit, actual=str(value))


def _check_enum(value: int, known: Collection[int], field: str) -> None:
    if value not in known:
        message = f"{field} is {value}, which this server does not know"
        raise _invalid(Reason.OPTION_INVALID, field, message, actual=str(value))


def _over(reason: Reason, field: str, unit: str, limit: int, actual: int) -> InvalidRequestError:
    message = f"{field} has {actual} {unit}; the limit is {limit}"
    return _invalid(reason, field, message, limit=str(limit), actual=str(actual))


def _invalid(reason: Reason, field: str, message: str, **metadata: str) -> InvalidRequestError:
    return InvalidRequestError(reason, message, field=field, metadata={"field": field, **metadata})
