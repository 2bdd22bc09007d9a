"""ModelService and reflection: what is served here, told before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2

from khulasa.v1 import model_pb2
from khulasa_server.bundles import store

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.integration.conftest import Service

    Serve = Callable[..., AbstractAsyncContextManager[Service]]

NAMES: Final = ["demo-marian-ar-en", "demo-mt5-ar-summary"]
SERVICES: Final = {
    "khulasa.v1.TranslationService",
    "khulasa.v1.SummarizationService",
    "khulasa.v1.ModelService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1alpha.ServerReflection",
    "grpc.reflection.v1.ServerReflection",
}


async def page(service: Service, size: int = 0, after: str = "") -> model_pb2.ListModelsResponse:
    """One page of the list."""
    request = model_pb2.ListModelsRequest(page_size=size, page_token=after)
    return await service.models.ListModels(request, timeout=30)


async def test_get_model_tells_what_the_manifest_says(service: Service) -> None:
    """Everything about a model is told: origin, licence, limits, defaults, that it is for show."""
    for bundle in store.embedded():
        manifest = bundle.manifest
        request = model_pb2.GetModelRequest(name=manifest.name)
        model = (await service.models.GetModel(request, timeout=30)).model
        assert model.name == manifest.name
        assert model_pb2.Task.Name(model.task) == f"TASK_{manifest.task.name}"
        assert model.source_repository == manifest.source.repository
        assert model.revision == manifest.source.revision
        assert model.license == manifest.source.license
        assert model.license_notice == manifest.source.license_notice
        assert model.digest == manifest.digest
        assert (model.engine, model.compute_type) == ("scripted", "none")
        assert list(model.source_language_codes) == ["ar"]
        assert list(model.target_language_codes) == list(manifest.target_language_codes)
        assert model.demonstration
        assert model.production_build.startswith("khulasa-server models build ")
        assert model.state == model_pb2.MODEL_STATE_SERVING
        assert not model.state_detail
        assert model.vocabulary_size == manifest.vocabulary_size
        assert model.parameters == manifest.parameters
        assert model.default_options.beam_size == manifest.generation.beam_size
        assert model.default_options.length_penalty == manifest.generation.length_penalty
        assert model.limits.max_output_tokens == manifest.limits.max_output_tokens
        assert model.limits.max_input_tokens == manifest.limits.max_input_tokens


async def test_limits_are_those_of_the_settings(serve: Serve) -> None:
    """What the operator chose is what callers are told, and what they are held to."""
    chosen = {
        "max_code_points": 10,
        "max_request_code_points": 15,
        "max_contents": 2,
        "max_message_bytes": 5_000,
        "queue_seconds": 3.5,
        "bulk_queue_seconds": 7.0,
        "default_deadline": 11.0,
        "max_deadline": 12.0,
    }
    async with serve(**chosen) as service:
        limits = (await page(service)).models[0].limits
        told = {
            "max_code_points": limits.max_code_points,
            "max_request_code_points": limits.max_request_code_points,
            "max_contents": limits.max_contents,
            "max_message_bytes": limits.max_message_bytes,
            "queue_seconds": limits.max_queue_duration.ToTimedelta().total_seconds(),
            "bulk_queue_seconds": limits.max_bulk_queue_duration.ToTimedelta().total_seconds(),
            "default_deadline": limits.default_deadline.ToTimedelta().total_seconds(),
            "max_deadline": limits.max_deadline.ToTimedelta().total_seconds(),
        }
        assert told == chosen
        field = {"field": "contents[0]", "limit": "10", "actual": "11"}
        await service.refused(service.translate("ا" * 11), "TEXT_TOO_LONG", "contents[0]", **field)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.translate("ا" * 3_000)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_models_are_listed_in_pages(service: Service) -> None:
    """Pages are by name, each token leads to the next, and the last one has none."""
    whole = await page(service)
    assert [model.name for model in whole.models] == NAMES
    assert whole.next_page_token == ""
    first = await page(service, size=1)
    assert [model.name for model in first.models] == NAMES[:1]
    second = await page(service, size=1, after=first.next_page_token)
    assert [model.name for model in second.models] == NAMES[1:]
    assert second.next_page_token == ""
    assert (await page(service, size=2_000_000_000)).models == whole.models
    assert not (await page(service, after="zzz")).models


@pytest.mark.parametrize("version", ["v1alpha", "v1"])
async def test_reflection_lists_every_service(service: Service, version: str) -> None:
    """Both versions list what is served, and describe our own services."""
    request = reflection_pb2.ServerReflectionRequest
    asked = [
        request(list_services=""),
        request(file_containing_symbol="khulasa.v1.TranslationService"),
        request(file_containing_symbol="khulasa.v1.NoService"),
    ]
    call: Any = service.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=request.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    listed, described, unknown = [each async for each in call(iter(asked), timeout=30)]
    assert {each.name for each in listed.list_services_response.service} == SERVICES
    files = described.file_descriptor_response.file_descriptor_proto
    assert any(b"TranslateRequest" in file for file in files)
    assert unknown.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_reflection_can_be_turned_off(serve: Serve) -> None:
    """Then neither version is there, and everything else is."""
    async with serve(reflection=False) as service:
        for version in ("v1alpha", "v1"):
            path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
            call: Any = service.channel.stream_stream(path)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(iter([]), timeout=30).read()
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        await service.assert_well()
