"""ModelService: what is served here, and how it fares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from khulasa.v1 import model_pb2 as pb
from khulasa_server.bundles.manifest import Task
from khulasa_server.errors import InvalidRequestError, Reason
from khulasa_server.rpc.encoding import encode_duration
from khulasa_server.rpc.requests import MAX_BEAM_SIZE, decode
from khulasa_server.tasks.catalog import ModelState

if TYPE_CHECKING:
    from khulasa_server.config import Settings
    from khulasa_server.rpc.handlers import Gate, Handler
    from khulasa_server.tasks.catalog import Catalog, Model

SERVICE = pb.DESCRIPTOR.services_by_name["ModelService"]

DEFAULT_PAGE: Final = 50
MAX_PAGE: Final = 1_000

_TASKS: Final = {Task.TRANSLATE: pb.TASK_TRANSLATE, Task.SUMMARIZE: pb.TASK_SUMMARIZE}
_STATES: Final = {
    ModelState.LOADING: pb.MODEL_STATE_LOADING,
    ModelState.READY: pb.MODEL_STATE_SERVING,
    ModelState.FAILED: pb.MODEL_STATE_FAILED,
    ModelState.DRAINING: pb.MODEL_STATE_DRAINING,
}


class ModelServicer:
    """Describes the models."""

    def __init__(self, catalog: Catalog, settings: Settings, gate: Gate) -> None:
        self._catalog = catalog
        self._settings = settings
        self._gate = gate

    def handlers(self) -> dict[str, Handler]:
        """Handlers by method name."""
        return {
            "ListModels": self._gate.unary(self.list_models),
            "GetModel": self._gate.unary(self.get_model),
        }

    async def list_models(self, data: bytes, _deadline: float) -> pb.ListModelsResponse:
        """A page of the models, by name; its token is the last name of the page before."""
        request = decode(pb.ListModelsRequest, data)
        size = _page_size(request.page_size)
        after = [name for name in sorted(self._catalog.models) if name > request.page_token]
        page = [self._describe(self._catalog.models[name]) for name in after[:size]]
        token = page[-1].name if len(after) > size else ""
        return pb.ListModelsResponse(models=page, next_page_token=token)

    async def get_model(self, data: bytes, _deadline: float) -> pb.GetModelResponse:
        """One model."""
        request = decode(pb.GetModelRequest, data)
        return pb.GetModelResponse(model=self._describe(self._catalog.get(request.name, "name")))

    def _describe(self, model: Model) -> pb.Model:
        manifest = model.manifest
        return pb.Model(
            name=manifest.name,
            task=_TASKS[manifest.task],
            source_repository=manifest.source.repository,
            revision=manifest.source.revision,
            license=manifest.source.license,
            license_notice=manifest.source.license_notice,
            digest=manifest.digest,
            engine=model.engine.name if model.engine else self._settings.engine,
            compute_type=model.engine.compute_type if model.engine else "",
            source_language_codes=manifest.source_language_codes,
            target_language_codes=manifest.target_language_codes,
            limits=self._limits(model),
            default_options=_defaults(model),
            demonstration=manifest.demonstration,
            production_build=manifest.production_build,
            state=_STATES[model.state],
            state_detail=model.detail,
            vocabulary_size=manifest.vocabulary_size,
            parameters=manifest.parameters,
        )

    def _limits(self, model: Model) -> pb.ModelLimits:
        settings, limits = self._settings, model.manifest.limits
        return pb.ModelLimits(
            max_code_points=settings.max_code_points,
            max_request_code_points=settings.max_request_code_points,
            max_contents=settings.max_contents,
            max_message_bytes=settings.max_message_bytes,
            max_input_tokens=limits.max_input_tokens,
            segment_tokens=limits.segment_tokens,
            max_output_tokens=limits.max_output_tokens,
            max_beam_size=MAX_BEAM_SIZE,
            max_queue_duration=encode_duration(settings.queue_seconds),
            max_bulk_queue_duration=encode_duration(settings.bulk_queue_seconds),
            default_deadline=encode_duration(settings.default_deadline),
            max_deadline=encode_duration(settings.max_deadline),
        )


def _defaults(model: Model) -> pb.DefaultOptions:
    generation = model.manifest.generation
    return pb.DefaultOptions(
        beam_size=generation.beam_size,
        max_output_tokens=generation.max_output_tokens,
        length_penalty=generation.length_penalty,
        no_repeat_ngram_size=generation.no_repeat_ngram_size,
        repetition_penalty=generation.repetition_penalty,
    )


def _page_size(asked: int) -> int:
    if asked < 0:
        raise InvalidRequestError(
            Reason.OPTION_INVALID,
            f"page_size is {asked}; it must be 0 or more",
            field="page_size",
            metadata={"actual": str(asked)},
        )
    return min(asked or DEFAULT_PAGE, MAX_PAGE)
