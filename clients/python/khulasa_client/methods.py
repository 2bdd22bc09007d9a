"""The methods of the service: where they are, what they take and give, how long they may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from google.protobuf import wrappers_pb2
from google.protobuf.message import Message

from khulasa.v1 import model_pb2, summarization_pb2, translation_pb2
from khulasa_client import decoding
from khulasa_client.failures import from_status
from khulasa_client.values import BulkSummary, BulkTranslation

if TYPE_CHECKING:
    from collections.abc import Callable

    from khulasa_client.errors import KhulasaError

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)
R = TypeVar("R", bound=BulkTranslation | BulkSummary)


@dataclass(frozen=True, slots=True)
class Method(Generic[Q, A]):
    """A method of a service.

    Args:
        path: its full name.
        answer: class of its answer.
        timeout: seconds it may take unless the caller says otherwise.
    """

    path: str
    answer: type[A]
    timeout: float


TRANSLATE: Method[translation_pb2.TranslateRequest, translation_pb2.TranslateResponse] = Method(
    "/khulasa.v1.TranslationService/Translate", translation_pb2.TranslateResponse, 60.0
)
STREAM_TRANSLATE: Method[
    translation_pb2.StreamTranslateRequest, translation_pb2.StreamTranslateResponse
] = Method(
    "/khulasa.v1.TranslationService/StreamTranslate", translation_pb2.StreamTranslateResponse, 60.0
)
SUMMARIZE: Method[summarization_pb2.SummarizeRequest, summarization_pb2.SummarizeResponse] = Method(
    "/khulasa.v1.SummarizationService/Summarize", summarization_pb2.SummarizeResponse, 180.0
)
LIST_MODELS: Method[model_pb2.ListModelsRequest, model_pb2.ListModelsResponse] = Method(
    "/khulasa.v1.ModelService/ListModels", model_pb2.ListModelsResponse, 10.0
)
GET_MODEL: Method[model_pb2.GetModelRequest, model_pb2.GetModelResponse] = Method(
    "/khulasa.v1.ModelService/GetModel", model_pb2.GetModelResponse, 10.0
)
HEALTH: Method[wrappers_pb2.StringValue, wrappers_pb2.Int32Value] = Method(
    "/grpc.health.v1.Health/Check", wrappers_pb2.Int32Value, 10.0
)
"""Its messages are one string and one enum at number 1, as the well-known wrappers are: the same
bytes without another distribution to depend on."""


def serialize(message: Message) -> bytes:
    """The bytes of a message of any class."""
    return message.SerializeToString()


RETRIED = (TRANSLATE, STREAM_TRANSLATE, SUMMARIZE, LIST_MODELS, GET_MODEL)
"""What the channel retries. Bulk streams are reopened by this package, health is told as it is."""


@dataclass(frozen=True, slots=True)
class BulkMethod(Generic[Q, A, R]):
    """A method that takes items and answers each by its id.

    Args:
        path: its full name.
        answer: class of its answers.
        timeout: seconds an item may take unless the caller says otherwise.
        result: what callers see of an answer.
        failure: what callers see of the item with that id when it could not be sent.
    """

    path: str
    answer: type[A]
    timeout: float
    result: Callable[[A], R]
    failure: Callable[[str, KhulasaError], R]


def _bulk_translation(answer: translation_pb2.BulkTranslateResponse) -> BulkTranslation:
    if answer.HasField("translation"):
        return BulkTranslation(answer.id, decoding.translation(answer.translation), None)
    return BulkTranslation(answer.id, None, from_status(answer.error))


def _bulk_summary(answer: summarization_pb2.BulkSummarizeResponse) -> BulkSummary:
    if answer.HasField("summary"):
        return BulkSummary(answer.id, decoding.summary(answer.summary), None)
    return BulkSummary(answer.id, None, from_status(answer.error))


BULK_TRANSLATE: BulkMethod[
    translation_pb2.BulkTranslateRequest, translation_pb2.BulkTranslateResponse, BulkTranslation
] = BulkMethod(
    "/khulasa.v1.TranslationService/BulkTranslate",
    translation_pb2.BulkTranslateResponse,
    60.0,
    _bulk_translation,
    lambda item_id, error: BulkTranslation(item_id, None, error),
)
BULK_SUMMARIZE: BulkMethod[
    summarization_pb2.BulkSummarizeRequest, summarization_pb2.BulkSummarizeResponse, BulkSummary
] = BulkMethod(
    "/khulasa.v1.SummarizationService/BulkSummarize",
    summarization_pb2.BulkSummarizeResponse,
    180.0,
    _bulk_summary,
    lambda item_id, error: BulkSummary(item_id, None, error),
)
