"""From plain values to protobuf; refuses what cannot be sent, before it is sent."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.duration_pb2 import Duration

from khulasa.v1 import common_pb2, model_pb2, summarization_pb2, translation_pb2
from khulasa_client.errors import (
    ConfigurationError,
    FieldViolation,
    InvalidRequestError,
    MessageTooLargeError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message

    from khulasa_client.values import BulkItem, Options
    from khulasa_client.wishes import SummaryWish, TranslationWish

M = TypeVar("M", bound="Message")


def translate(texts: Sequence[str], wish: TranslationWish) -> translation_pb2.TranslateRequest:
    """Asks for translations of texts."""
    contents = [_text(text, f"contents[{index}]") for index, text in enumerate(texts)]
    return translation_pb2.TranslateRequest(contents=contents, **_translation_fields(wish))


def stream_translate(text: str, wish: TranslationWish) -> translation_pb2.StreamTranslateRequest:
    """Asks for the translation of one text as it is made."""
    fields = _translation_fields(wish)
    return translation_pb2.StreamTranslateRequest(text=_text(text, "text"), **fields)


def bulk_translate(
    item: BulkItem, timeout: float, wish: TranslationWish
) -> translation_pb2.BulkTranslateRequest:
    """One item of a bulk translation; `timeout` in seconds unless it has its own."""
    fields = _item_fields(item, timeout) | _translation_fields(wish)
    return translation_pb2.BulkTranslateRequest(**fields)


def summarize(text: str, wish: SummaryWish) -> summarization_pb2.SummarizeRequest:
    """Asks for the summary of one text."""
    fields = _summary_fields(wish)
    return summarization_pb2.SummarizeRequest(text=_text(text, "text"), **fields)


def bulk_summarize(
    item: BulkItem, timeout: float, wish: SummaryWish
) -> summarization_pb2.BulkSummarizeRequest:
    """One item of a bulk summarization; `timeout` in seconds unless it has its own."""
    fields = _item_fields(item, timeout) | _summary_fields(wish)
    return summarization_pb2.BulkSummarizeRequest(**fields)


def get_model(name: str) -> model_pb2.GetModelRequest:
    """Asks for one model."""
    return model_pb2.GetModelRequest(name=_text(name, "name"))


def checked_size(request: M, limit: int) -> M:
    """The request, unless it is larger than what the server takes.

    Raises:
        MessageTooLargeError: it has more than `limit` bytes.
    """
    actual = request.ByteSize()
    if actual <= limit:
        return request
    raise MessageTooLargeError(
        f"the request has {actual:,} bytes, more than the limit of {limit:,}: send less at once",
        code="RESOURCE_EXHAUSTED",
        metadata={"limit": str(limit), "actual": str(actual)},
    )


def checked_timeout(timeout: float | None, default: float) -> float:
    """Seconds a call may take.

    Raises:
        ConfigurationError: not a positive, finite number.
    """
    if timeout is None:
        return default
    if not math.isfinite(timeout) or timeout <= 0:
        raise ConfigurationError(f"a timeout is a positive number of seconds, not {timeout}")
    return timeout


def _text(text: str, field: str) -> str:
    """The text, unless it has no UTF-8 form: Python lets unpaired surrogates into strings."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        description = (
            f"{field} holds the unpaired surrogate U+{ord(text[error.start]):04X} at code point "
            f"{error.start}, which is not text"
        )
        raise InvalidRequestError(
            description,
            code="INVALID_ARGUMENT",
            reason="TEXT_INVALID",
            metadata={"position": str(error.start)},
            field_violations=(FieldViolation(field, description),),
        ) from None
    return text


def _translation_fields(wish: TranslationWish) -> dict[str, Any]:
    return {
        "source_language_code": _text(wish.source, "source_language_code"),
        "target_language_code": _text(wish.to, "target_language_code"),
        "model": _text(wish.model, "model"),
        "options": _options(wish.options),
    }


def _summary_fields(wish: SummaryWish) -> dict[str, Any]:
    strategy = summarization_pb2.LongDocumentStrategy
    return {
        "language_code": _text(wish.language, "language_code"),
        "target_language_code": _text(wish.to, "target_language_code"),
        "long_document_strategy": _number(strategy, "LONG_DOCUMENT_STRATEGY_", wish.strategy),
        "model": _text(wish.model, "model"),
        "translation_model": _text(wish.translation_model, "translation_model"),
        "options": _options(wish.options),
    }


def _item_fields(item: BulkItem, timeout: float) -> dict[str, Any]:
    duration = Duration()
    duration.FromNanoseconds(round(checked_timeout(item.timeout, timeout) * 1e9))
    identity, content = _text(item.id, "id"), _text(item.content, "content")
    return {"id": identity, "content": content, "timeout": duration}


def _options(options: Options | None) -> common_pb2.Options | None:
    if options is None:
        return None
    return common_pb2.Options(
        beam_size=options.beam_size,
        max_output_tokens=options.max_output_tokens,
        cache_mode=_number(common_pb2.CacheMode, "CACHE_MODE_", options.cache_mode or ""),
        deterministic=options.deterministic,
        priority=_number(common_pb2.Priority, "PRIORITY_", options.priority or ""),
    )


def _number(wrapper: Any, prefix: str, name: str) -> Any:  # noqa: ANN401 - each enum has a type of its own
    """Number of an enum's value; an empty name is the unspecified one."""
    full = f"{prefix}{(name or 'unspecified').upper()}"
    if full not in wrapper.keys():  # noqa: SIM118 - not a mapping
        choices = [key.removeprefix(prefix) for key in wrapper.keys()[1:]]
        raise ConfigurationError(f"{name!r} is not one of {', '.join(choices)}")
    return wrapper.Value(full)
