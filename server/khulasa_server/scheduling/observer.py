"""How the scheduler tells what it does, without knowing who measures it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from khulasa_server.scheduling.naming import model_of

if TYPE_CHECKING:
    from khulasa_server.errors import Reason
    from khulasa_server.scheduling.types import CacheResult, Drop, Priority


@dataclass(frozen=True, slots=True)
class BatchReport:
    """A batch that an engine finished.

    Args:
        model: name of the model.
        items: inputs in it.
        input_tokens: sum of the inputs' lengths.
        padded_tokens: longest input times items.
        output_tokens: tokens written.
        seconds: run time in the worker thread.
        predicted_seconds: what the cost model had said.
    """

    model: str
    items: int
    input_tokens: int
    padded_tokens: int
    output_tokens: int
    seconds: float
    predicted_seconds: float

    @property
    def padding_ratio(self) -> float:
        """Padded tokens for each real one, at least 1."""
        return self.padded_tokens / max(1, self.input_tokens)

    @property
    def cost_error_ratio(self) -> float:
        """|predicted - measured| / measured."""
        return abs(self.predicted_seconds - self.seconds) / max(self.seconds, 1e-9)


class Observer(Protocol):
    """Told synchronously on the event loop, so every method must be cheap and never raise."""

    def waited(self, model: str, priority: Priority, seconds: float) -> None:
        """A submission's batch started `seconds` after it was submitted."""

    def batch(self, report: BatchReport) -> None:
        """A batch ended well."""

    def dropped(self, model: str, priority: Priority, reason: Drop) -> None:
        """A submission ended before an engine worked on it."""

    def rejected(self, model: str, priority: Priority, reason: Reason) -> None:
        """A request was not admitted."""

    def cache(self, model: str, result: CacheResult) -> None:
        """A submission asked the cache, or went past it."""

    def rebuilt(self, model: str, *, succeeded: bool) -> None:
        """A failed engine was rebuilt, or could not be."""


class SilentObserver:
    """Keeps nothing."""

    def waited(self, model: str, priority: Priority, seconds: float) -> None:
        """Do nothing."""

    def batch(self, report: BatchReport) -> None:
        """Do nothing."""

    def dropped(self, model: str, priority: Priority, reason: Drop) -> None:
        """Do nothing."""

    def rejected(self, model: str, priority: Priority, reason: Reason) -> None:
        """Do nothing."""

    def cache(self, model: str, result: CacheResult) -> None:
        """Do nothing."""

    def rebuilt(self, model: str, *, succeeded: bool) -> None:
        """Do nothing."""


class NamingObserver:
    """Tells another one the same with the models' own names in place of those of their lanes."""

    def __init__(self, inner: Observer) -> None:
        self._inner = inner

    def waited(self, model: str, priority: Priority, seconds: float) -> None:
        """Pass it on."""
        self._inner.waited(model_of(model), priority, seconds)

    def batch(self, report: BatchReport) -> None:
        """Pass it on."""
        self._inner.batch(replace(report, model=model_of(report.model)))

    def dropped(self, model: str, priority: Priority, reason: Drop) -> None:
        """Pass it on."""
        self._inner.dropped(model_of(model), priority, reason)

    def rejected(self, model: str, priority: Priority, reason: Reason) -> None:
        """Pass it on."""
        self._inner.rejected(model_of(model), priority, reason)

    def cache(self, model: str, result: CacheResult) -> None:
        """Pass it on."""
        self._inner.cache(model_of(model), result)

    def rebuilt(self, model: str, *, succeeded: bool) -> None:
        """Pass it on."""
        self._inner.rebuilt(model_of(model), succeeded=succeeded)
