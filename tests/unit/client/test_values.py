# ruff: noqa: ANN401 - enums and messages of all kinds go through the same functions
"""Values and messages say the same, also when one side is newer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.rpc import code_pb2, status_pb2

import khulasa_client
from khulasa.v1 import common_pb2, model_pb2, summarization_pb2, translation_pb2
from khulasa_client import decoding, enums, failures, methods
from khulasa_client.connection import RETRY_POLICY, Connection

if TYPE_CHECKING:
    from google.protobuf.message import Message


@pytest.mark.parametrize(
    ("kind", "wrapper", "prefix"),
    [
        (enums.FindingKind, common_pb2.FindingKind, "FINDING_KIND_"),
        (enums.CacheMode, common_pb2.CacheMode, "CACHE_MODE_"),
        (enums.Priority, common_pb2.Priority, "PRIORITY_"),
        (enums.SegmentOutcome, translation_pb2.SegmentOutcome, "SEGMENT_OUTCOME_"),
        (
            enums.LongDocumentStrategy,
            summarization_pb2.LongDocumentStrategy,
            "LONG_DOCUMENT_STRATEGY_",
        ),
        (enums.Task, model_pb2.Task, "TASK_"),
        (enums.ModelState, model_pb2.ModelState, "MODEL_STATE_"),
    ],
)
def test_enums_are_those_of_the_contract(kind: Any, wrapper: Any, prefix: str) -> None:
    """Every name of the contract has its member, in the same order, and no other."""
    names = [name.removeprefix(prefix) for name in wrapper.keys()[1:]]
    assert [member.name for member in kind] == names == [member.value for member in kind]
    for number in wrapper.values()[1:]:
        assert isinstance(decoding.enum(kind, wrapper, prefix, number), kind)


def test_a_newer_server_is_understood() -> None:
    """A kind of finding that this client does not know is told by its number."""
    finding = common_pb2.Finding()
    finding.ParseFromString(b"\x08\xe7\x07")  # kind: 999
    assert decoding.finding(finding).kind == "999"


def fill(message: Message, depth: int = 0) -> Message:
    """Set every field to something else than its default."""
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        repeated = hasattr(value, "extend")
        if field.message_type is not None:
            fill(value.add() if repeated else value, depth + 1)
            if not repeated:
                value.SetInParent()
        elif repeated:
            value.append(scalar(field))
        else:
            setattr(message, field.name, scalar(field))
    return message


def scalar(field: Any) -> Any:
    """Something else than the default."""
    texts = {FieldDescriptor.CPPTYPE_STRING: "x", FieldDescriptor.CPPTYPE_DOUBLE: 0.5}
    return texts.get(field.cpp_type, 1)


def defaults(value: Any, path: str) -> list[str]:
    """The attributes, of all depths, that hold nothing."""
    if isinstance(value, tuple):
        return [path] if not value else defaults(value[0], path)
    if not hasattr(value, "__dataclass_fields__"):
        return [] if value else [path]
    inner = value.__dataclass_fields__
    return [found for name in inner for found in defaults(getattr(value, name), f"{path}.{name}")]


@pytest.mark.parametrize(
    ("decode", "kind"),
    [
        (decoding.translation, translation_pb2.Translation),
        (decoding.stream_summary, translation_pb2.StreamSummary),
        (decoding.streamed_segment, translation_pb2.SegmentResult),
        (decoding.summary, summarization_pb2.Summary),
        (decoding.model, model_pb2.Model),
    ],
)
def test_nothing_of_a_message_is_lost(decode: Any, kind: Any) -> None:
    """Every field of a message reaches its value, and every attribute comes from a field."""
    value = decode(fill(kind()))
    assert defaults(value, kind.__name__) == []
    missing = {field.name for field in kind.DESCRIPTOR.fields} - set(value.__dataclass_fields__)
    assert missing <= {"segment"}


def test_absent_is_none() -> None:
    """What a message does not have is None, not zero."""
    summary = decoding.summary(summarization_pb2.Summary())
    assert (summary.translation, summary.score) == (None, None)
    assert decoding.segment(translation_pb2.Segment()).score is None
    assert decoding.segment(translation_pb2.Segment(score=0)).score == 0.0
    finding = decoding.finding(common_pb2.Finding())
    assert (finding.source, finding.target) == (None, None)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.value[0]])
def test_every_code_has_a_class(code: grpc.StatusCode) -> None:
    """No failed call comes back as the bare base class."""
    error = failures.from_status(status_pb2.Status(code=code.value[0]))
    assert error.code == code.name
    assert type(error) in set(failures.CLASSES.values())
    assert set(failures.CLASSES) | {"OK", "ALREADY_EXISTS"} == set(code_pb2.Code.keys())


def test_methods_are_those_of_the_contract() -> None:
    """Paths and classes are those of the services; the default time is the contract's."""
    services = [
        service
        for module in (translation_pb2, summarization_pb2, model_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
    ]
    known = {
        f"/{service.full_name}/{method.name}": method.output_type.full_name
        for service in services
        for method in service.methods
    }
    kinds = (methods.Method, methods.BulkMethod)
    used = [value for value in vars(methods).values() if isinstance(value, kinds)]
    ours = {method.path: method.answer.DESCRIPTOR.full_name for method in used}
    ours.pop(methods.HEALTH.path)
    assert ours == known
    assert methods.TRANSLATE.timeout == 60
    assert methods.SUMMARIZE.timeout == 180


def test_retries_can_be_turned_off() -> None:
    """Without retries the channel is told nothing about them."""
    told = dict(Connection(address="x", retries=False).options())
    assert "retryPolicy" not in str(told["grpc.service_config"])
    assert told["grpc.enable_retries"] == 0


def test_retries_cover_what_can_be_repeated() -> None:
    """Calls with one request are retried by the channel, bulk streams and health are not."""
    config = str(dict(Connection(address="x").options())["grpc.service_config"])
    assert "Bulk" not in config
    assert "Health" not in config
    # The last is what a call gets that no handler saw.
    assert RETRY_POLICY["retryableStatusCodes"] == [
        "UNAVAILABLE",
        "RESOURCE_EXHAUSTED",
        "CANCELLED",
    ]
    assert "round_robin" not in config


def test_calls_are_spread_over_servers_that_do_not_drain() -> None:
    """A target of several servers is balanced, by the health that turns when a drain begins."""
    config = json.loads(str(dict(Connection(address="dns:///x").options())["grpc.service_config"]))
    assert config["loadBalancingConfig"] == [{"round_robin": {}}]
    services = model_pb2.DESCRIPTOR.services_by_name
    assert config["healthCheckConfig"] == {"serviceName": services["ModelService"].full_name}


def test_keepalive_is_within_what_servers_allow() -> None:
    """Pings are rarer than the 300 s that a server tolerates without having been told."""
    assert int(dict(Connection(address="x").options())["grpc.keepalive_time_ms"]) > 300_000


def test_public_names() -> None:
    """Everything that is announced is there."""
    assert all(hasattr(khulasa_client, name) for name in khulasa_client.__all__)
    assert sorted(khulasa_client.__all__) == sorted(set(khulasa_client.__all__))
