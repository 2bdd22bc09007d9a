"""Health is told from the state of the models, and a watch ends with the drain."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

import pytest
from grpc_health.v1 import health_pb2

from khulasa_server.bundles import store
from khulasa_server.bundles.manifest import Task
from khulasa_server.rpc.health import HealthBoard, full_names
from khulasa_server.tasks.catalog import Catalog, ModelState

if TYPE_CHECKING:
    import grpc

TRANSLATION: Final = "khulasa.v1.TranslationService"
SUMMARIZATION: Final = "khulasa.v1.SummarizationService"
MODELS: Final = "khulasa.v1.ModelService"
LOADING, READY, FAILED = ModelState.LOADING, ModelState.READY, ModelState.FAILED
MANIFESTS: Final = {bundle.manifest.task: bundle.manifest for bundle in store.embedded()}


def catalog(*models: tuple[str, Task, ModelState]) -> Catalog:
    """Models in some states."""
    made = Catalog()
    for name, task, state in models:
        model = made.add(MANIFESTS[task].model_copy(update={"name": name}))
        model.state = state
        model.detail = f"{name} broke" if state is FAILED else ""
    return made


async def told(board: HealthBoard) -> dict[str, bool]:
    """Which services the servicer calls SERVING."""
    await board.refresh()
    context = cast("grpc.aio.ServicerContext[Any, Any]", None)
    serving = {}
    for name in ("", TRANSLATION, SUMMARIZATION, MODELS):
        request = health_pb2.HealthCheckRequest(service=name)
        answer = await board.servicer.Check(request, context)
        serving[name] = answer.status == health_pb2.HealthCheckResponse.SERVING
    return serving


T, S = Task.TRANSLATE, Task.SUMMARIZE


@pytest.mark.parametrize(
    ("models", "waiting"),
    [
        ([("t", T, READY), ("s", S, READY)], {}),
        ([("t", T, READY), ("s", S, LOADING)], {SUMMARIZATION: "loading s"}),
        ([("t", T, FAILED), ("s", S, READY)], {TRANSLATION: "t: t broke"}),
        ([("t", T, READY)], {SUMMARIZATION: "no model is configured"}),
        ([("a", T, READY), ("b", T, FAILED), ("s", S, READY)], {}),
        ([("a", T, READY), ("b", T, LOADING), ("s", S, READY)], {TRANSLATION: "loading b"}),
        (
            [("a", T, FAILED), ("b", T, FAILED), ("s", S, READY)],
            {TRANSLATION: "a: a broke; b: b broke"},
        ),
    ],
)
async def test_a_service_serves_when_its_models_do(
    models: list[tuple[str, Task, ModelState]], waiting: dict[str, str]
) -> None:
    """What is missing is said; one model that failed does not take down the others of its task."""
    board = HealthBoard(catalog(*models))
    assert board.waiting_for() == waiting
    serving = await told(board)
    assert serving[MODELS]
    assert {name for name in (TRANSLATION, SUMMARIZATION) if not serving[name]} == set(waiting)


@pytest.mark.parametrize(
    ("models", "required", "ready"),
    [
        ([("t", T, READY), ("s", S, READY)], (), True),
        ([("t", T, READY), ("s", S, FAILED)], (), False),
        ([("t", T, READY), ("s", S, FAILED)], (TRANSLATION,), True),
        ([("t", T, READY), ("s", S, FAILED)], (TRANSLATION, SUMMARIZATION), False),
        ([("t", T, READY)], (), True),
        ([("t", T, READY)], (SUMMARIZATION,), False),
        ([("t", T, LOADING)], (MODELS,), True),
    ],
)
async def test_the_whole_is_ready_when_every_required_service_is(
    models: list[tuple[str, Task, ModelState]],
    required: tuple[str, ...],
    ready: bool,  # noqa: FBT001 - a column
) -> None:
    """Required are the services with a model, unless the operator says which."""
    board = HealthBoard(catalog(*models), required)
    assert board.ready() is ready
    assert (await told(board))[""] is ready


async def test_nothing_serves_while_draining() -> None:
    """For good: no change of a model turns it on again."""
    models = catalog(("t", T, READY), ("s", S, READY))
    board = HealthBoard(models)
    assert (await told(board))[""]
    await board.drain()
    assert not board.ready()
    assert set(board.waiting_for().values()) == {"draining"}
    assert set((await told(board)).values()) == {False}


def test_services_are_named_in_full_or_short() -> None:
    """As an operator writes them; anything else is refused with what there is."""
    assert full_names(["TranslationService", SUMMARIZATION]) == (TRANSLATION, SUMMARIZATION)
    assert full_names(["ModelService"]) == (MODELS,)
    assert full_names([]) == ()
    with pytest.raises(ValueError, match=r"no such service: Echo; there is: .*ModelService"):
        full_names(["ModelService", "Echo"])


@dataclass
class Listener:
    """A caller of Watch."""

    heard: asyncio.Queue[int] = field(default_factory=asyncio.Queue)

    async def write(self, response: health_pb2.HealthCheckResponse) -> None:
        """Take an answer."""
        self.heard.put_nowait(response.status)


def watching(board: HealthBoard, service: str) -> tuple[Listener, asyncio.Task[None]]:
    """A watch of a service."""
    listener = Listener()
    context = cast("grpc.aio.ServicerContext[Any, Any]", listener)
    request = health_pb2.HealthCheckRequest(service=service)
    return listener, asyncio.create_task(board.servicer.Watch(request, context))


async def test_a_watch_hears_each_change_once() -> None:
    """The state of the moment, every change, nothing twice, the drain, and the end."""
    models = catalog(("t", T, LOADING), ("s", S, READY))
    board = HealthBoard(models)
    await board.refresh()
    (listener, watch), (other, unknown) = watching(board, TRANSLATION), watching(board, "no.such")
    states = health_pb2.HealthCheckResponse
    assert await listener.heard.get() == states.NOT_SERVING
    assert await other.heard.get() == states.SERVICE_UNKNOWN
    models.models["t"].state = READY
    await board.refresh()
    await board.refresh()
    assert await listener.heard.get() == states.SERVING
    await board.drain()
    assert await listener.heard.get() == states.NOT_SERVING
    assert not watch.done()
    board.release()
    await asyncio.gather(watch, unknown)
    assert listener.heard.empty()
    assert other.heard.empty()


async def test_a_watch_that_begins_late_ends_at_once() -> None:
    """When the listener closes there is one answer to give."""
    board = HealthBoard(catalog(("t", T, READY)))
    await board.refresh()
    await board.drain()
    board.release()
    listener, watch = watching(board, "")
    await watch
    assert listener.heard.get_nowait() == health_pb2.HealthCheckResponse.NOT_SERVING
