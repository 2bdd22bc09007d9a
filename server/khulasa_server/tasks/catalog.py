"""The models this process serves, and the choice among them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from khulasa_server.bundles.manifest import Manifest, Task
from khulasa_server.errors import InvalidRequestError, NotFoundError, Reason, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from khulasa_server.engines.base import Engine

NOT_READY_RETRY_SECONDS = 2.0
"""A load takes seconds; asking again sooner would only add load to it."""


class ModelState(StrEnum):
    """Where a model is in its life."""

    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Fields:
    """Names of a request's fields that choose a model, for errors to point at."""

    model: str
    source: str
    target: str


TRANSLATION_FIELDS = Fields("model", "source_language_code", "target_language_code")
SUMMARY_FIELDS = Fields("model", "language_code", "target_language_code")
ONWARD_FIELDS = Fields("translation_model", "target_language_code", "target_language_code")
"""Of a summary's translation: its source is the summary's own language."""


@dataclass(slots=True)
class Model:
    """A configured model: what its bundle says, and how it fares in this process."""

    manifest: Manifest
    state: ModelState = ModelState.LOADING
    engine: Engine | None = None
    detail: str = ""
    """Why it failed, or was not replaced, in one sentence for operators."""
    lane: str = ""
    """What the scheduler calls it; a replacement has another lane than what it replaces."""

    def __post_init__(self) -> None:
        self.lane = self.lane or self.name

    @property
    def name(self) -> str:
        """Its name, unique in the catalog."""
        return self.manifest.name

    @property
    def task(self) -> Task:
        """What it does."""
        return self.manifest.task

    def ready_engine(self) -> Engine:
        """Its engine.

        Raises:
            UnavailableError: it is still loading, or has failed.
        """
        if self.state is ModelState.READY and self.engine is not None:
            return self.engine
        reason = Reason.SHUTTING_DOWN if self.state is ModelState.DRAINING else Reason.NOT_READY
        raise UnavailableError(
            reason,
            f"model {self.name} is {self.state.value}",
            metadata={"model": self.name, "state": self.state.value},
            retry_after=NOT_READY_RETRY_SECONDS,
        )

    def serves(self, source: str, target: str) -> bool:
        """Whether it takes `source` and, for a translator, writes `target`."""
        return match(source, self.manifest.source_language_codes) is not None and (
            self.task is Task.SUMMARIZE
            or match(target, self.manifest.target_language_codes) is not None
        )


def match(code: str, served: Iterable[str]) -> str | None:
    """The served language that a BCP-47 code asks for.

    `ar-EG` is served by `ar` where no model names the region itself.
    """
    by_fold = {name.casefold(): name for name in served}
    folded = code.replace("_", "-").casefold()
    return by_fold.get(folded) or by_fold.get(folded.partition("-")[0])


@dataclass(slots=True)
class Catalog:
    """Every configured model by name, in the order configured."""

    models: dict[str, Model] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Model]:
        return iter(self.models.values())

    def add(self, manifest: Manifest) -> Model:
        """A model that has yet to be loaded."""
        if manifest.name in self.models:
            raise ValueError(f"two bundles are called {manifest.name}; names must differ")
        model = self.models[manifest.name] = Model(manifest)
        return model

    def get(self, name: str, field: str) -> Model:
        """The model called `name`, which request field `field` asks for.

        Raises:
            NotFoundError: there is none.
        """
        if name in self.models:
            return self.models[name]
        raise self._unknown(f"no model is called {name!r}", name, self, field)

    def in_lane(self, lane: str) -> Model | None:
        """The model that the scheduler calls `lane`; None: another one took its place."""
        return next((model for model in self if model.lane == lane), None)

    def put(self, model: Model) -> None:
        """Let a model take the place of the one with its name."""
        self.models[model.name] = model

    def of_task(self, task: Task) -> list[Model]:
        """All models of one task."""
        return [model for model in self if model.task is task]

    def resolve(
        self, task: Task, fields: Fields, *, name: str = "", source: str, target: str = ""
    ) -> Model:
        """The one model for a task and its languages, ready or not; errors point at `fields`.

        Raises:
            NotFoundError: `name` is unknown or does another task, or no model does this one.
            InvalidRequestError: no model, or more than one, serves the languages.
        """
        candidates = self.of_task(task)
        if name:
            candidates = [model for model in candidates if model.name == name]
        if not candidates:
            fault = f"is called {name!r}" if name else "is configured"
            there_is = self.of_task(task)
            raise self._unknown(f"no model for {task} {fault}", name, there_is, fields.model)
        fitting = [model for model in candidates if model.serves(source, target)]
        if not fitting:
            raise _unsupported(task, fields, source, target, candidates)
        if len(fitting) > 1:
            raise _ambiguous(task, fields, fitting)
        return fitting[0]

    @staticmethod
    def _unknown(message: str, name: str, candidates: Iterable[Model], field: str) -> NotFoundError:
        names = ", ".join(model.name for model in candidates)
        return NotFoundError(
            Reason.MODEL_NOT_FOUND,
            f"{message}; there is: {names or 'none'}",
            field=field,
            metadata={"model": name, "candidates": names},
        )


def _pairs(model: Model) -> str:
    sources = ",".join(model.manifest.source_language_codes)
    if model.task is Task.SUMMARIZE:
        return sources
    return f"{sources}→{','.join(model.manifest.target_language_codes)}"


def _unsupported(
    task: Task, fields: Fields, source: str, target: str, models: list[Model]
) -> InvalidRequestError:
    served = "; ".join(_pairs(model) for model in models)
    wrong_source = all(match(source, m.manifest.source_language_codes) is None for m in models)
    asked = f"{source}→{target}" if task is Task.TRANSLATE else source
    return InvalidRequestError(
        Reason.LANGUAGE_UNSUPPORTED,
        f"language {asked} is not served; served: {served}",
        field=fields.source if wrong_source else fields.target,
        metadata={"requested": asked, "served": served},
    )


def _ambiguous(task: Task, fields: Fields, models: list[Model]) -> InvalidRequestError:
    names = ", ".join(model.name for model in models)
    return InvalidRequestError(
        Reason.MODEL_AMBIGUOUS,
        f"several models can {task} this; name one of: {names}",
        field=fields.model,
        metadata={"candidates": names},
    )
