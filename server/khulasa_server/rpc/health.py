"""grpc.health.v1 per service, told from the state of the models."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from grpc_health.v1 import health, health_pb2

from khulasa.v1 import model_pb2, summarization_pb2, translation_pb2
from khulasa_server.bundles.manifest import Task
from khulasa_server.tasks.catalog import ModelState

if TYPE_CHECKING:
    from collections.abc import Collection

    import grpc

    from khulasa_server.tasks.catalog import Catalog

SERVICE_OF: Final = {
    Task.TRANSLATE: translation_pb2.DESCRIPTOR.services_by_name["TranslationService"].full_name,
    Task.SUMMARIZE: summarization_pb2.DESCRIPTOR.services_by_name["SummarizationService"].full_name,
}
MODEL_SERVICE: Final = model_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name

SERVING: Final = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN: Final = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class HealthServicer(health.aio.HealthServicer):
    """The library's servicer, whose watchers can be made to let go.

    A watch lasts as long as its caller likes; without this, every drain would last its whole
    grace. It goes on until the listener closes: a client that balances by health and whose watch
    ended would open it again at once, and again.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._over = False
        self._released = False

    async def Watch(  # noqa: N802 - gRPC's name
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> None:
        """Tell every change of a service's health until the watchers are to let go."""
        written = None
        while True:
            changed = self._changed  # taken before the look, so that no change falls between
            status = self._told.get(request.service, SERVICE_UNKNOWN)
            if status != written:
                await context.write(health_pb2.HealthCheckResponse(status=status))
                written = status
            if self._released:
                return
            await changed.wait()

    async def set(self, service: str, status: int) -> None:
        """Change a service's health, unless the server drains."""
        await super().set(service, status)
        if not self._over:
            self._told[service] = status
            self._notify()

    async def enter_graceful_shutdown(self) -> None:
        """Say NOT_SERVING for good."""
        await super().enter_graceful_shutdown()
        self._over = True
        self._told = dict.fromkeys(self._told, NOT_SERVING)
        self._notify()

    def release(self) -> None:
        """End the watches; later ones are told once."""
        self._released = True
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class HealthBoard:
    """Keeps health in step with the models.

    Args:
        catalog: the models.
        required: full names of services that `""` waits for; empty: those with a model.
    """

    def __init__(self, catalog: Catalog, required: Collection[str] = ()) -> None:
        self.servicer = HealthServicer()
        self._catalog = catalog
        self._required = tuple(required)
        self._draining = False

    def waiting_for(self) -> dict[str, str]:
        """For each service that does not serve, what it lacks."""
        if self._draining:
            return dict.fromkeys(SERVICE_OF.values(), "draining")
        lacks = {service: self._lack(task) for task, service in SERVICE_OF.items()}
        return {service: lack for service, lack in lacks.items() if lack}

    def ready(self) -> bool:
        """Whether every required service serves."""
        waiting = self.waiting_for()
        return not self._draining and not any(name in waiting for name in self.required())

    def required(self) -> tuple[str, ...]:
        """Full names of the services that `""` waits for."""
        configured = tuple(
            service for task, service in SERVICE_OF.items() if self._catalog.of_task(task)
        )
        return self._required or configured

    async def refresh(self) -> None:
        """Publish the health of every service."""
        waiting = self.waiting_for()
        await self.servicer.set(MODEL_SERVICE, SERVING)
        for service in SERVICE_OF.values():
            await self.servicer.set(service, NOT_SERVING if service in waiting else SERVING)
        await self.servicer.set("", SERVING if self.ready() else NOT_SERVING)

    async def drain(self) -> None:
        """Nothing serves any more."""
        self._draining = True
        await self.servicer.enter_graceful_shutdown()

    def release(self) -> None:
        """Nobody watches any more."""
        self.servicer.release()

    def _lack(self, task: Task) -> str:
        """Why a task is not served; empty where it is.

        One model that failed does not take down the others of its task; one that is loading
        does, since requests for its languages would fail where they will soon succeed.
        """
        models = self._catalog.of_task(task)
        if not models:
            return "no model is configured"
        loading = [model.name for model in models if model.state is ModelState.LOADING]
        if loading:
            return f"loading {', '.join(loading)}"
        if any(model.state is ModelState.READY for model in models):
            return ""
        return "; ".join(f"{model.name}: {model.detail}" for model in models)


def full_names(names: Collection[str]) -> tuple[str, ...]:
    """Services by full or short name (`TranslationService`).

    Raises:
        ValueError: one of them is not a service of ours.
    """
    known = {name.rpartition(".")[2]: name for name in (*SERVICE_OF.values(), MODEL_SERVICE)}
    known |= {name: name for name in known.values()}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"no such service: {', '.join(unknown)}; there is: {', '.join(known)}")
    return tuple(known[name] for name in names)
