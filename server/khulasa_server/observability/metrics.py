"""What the server measures, as verbs of its own domain.

The methods that the scheduler and the tasks call have the shapes of the protocols they define,
so that neither knows about Prometheus and this file knows about neither. All of them are cheap
and none of them raises.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    ProcessCollector,
    disable_created_metrics,
)

from khulasa_server.observability.families import Families, Looked
from khulasa_server.observability.grpc_metrics import GrpcMetrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from khulasa_server.observability.families import BatchSeries

NO_MODEL: Final = "_none"
"""Stands for every model that is not served here, so that no caller makes series."""
PRIORITIES: Final = ("interactive", "bulk")
_REFUSALS: Final = ("OVERLOADED", "DEADLINE_UNREACHABLE")
_DROPS: Final = ("cancelled", "expired", "hopeless")
_CACHE_RESULTS: Final = ("hit", "joined", "miss", "bypassed")
_SUCCESS: Final = {True: "success", False: "failure"}


class Named(Protocol):
    """A member of an enumeration."""

    @property
    def name(self) -> str:
        """As it is written in the code."""
        ...


class Batch(Protocol):
    """A batch that an engine finished."""

    @property
    def model(self) -> str:
        """Name of its model."""
        ...

    @property
    def items(self) -> int:
        """Inputs in it."""
        ...

    @property
    def input_tokens(self) -> int:
        """Sum of the inputs' lengths."""
        ...

    @property
    def padded_tokens(self) -> int:
        """Longest input times items."""
        ...

    @property
    def output_tokens(self) -> int:
        """Tokens written."""
        ...

    @property
    def seconds(self) -> float:
        """Run time."""
        ...

    @property
    def padding_ratio(self) -> float:
        """Padded tokens for each real one, at least 1."""
        ...

    @property
    def cost_error_ratio(self) -> float:
        """Difference of predicted and measured run time, for each measured second."""
        ...


class Lane(Protocol):
    """The state of one model's queues."""

    @property
    def depth(self) -> Mapping[Any, int]:
        """Segments waiting, by priority."""
        ...

    @property
    def estimated_seconds(self) -> Mapping[Any, float]:
        """Work admitted and not done, by priority."""
        ...

    @property
    def requests(self) -> int:
        """Admitted requests that have not ended."""
        ...


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model that serves from now on.

    Args:
        model: its name.
        digest: of its bundle.
        engine: implementation that runs it.
        compute_type: arithmetic actually used.
        license_name: SPDX identifier.
        load_seconds: from the start of loading until it was proven.
    """

    model: str
    digest: str
    engine: str
    compute_type: str
    license_name: str
    load_seconds: float


class Metrics:
    """Everything `/metrics` shows.

    Args:
        version: of the server.
        registry: where families are registered; a new one where None.
        finding_kinds: kinds of findings, whose counters then exist from a model's start.
    """

    def __init__(
        self,
        version: str,
        registry: CollectorRegistry | None = None,
        finding_kinds: Iterable[str] = (),
    ) -> None:
        # A switch of the library for the whole process: there is none for one registry.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library left it bare
        self.registry = CollectorRegistry() if registry is None else registry
        self.grpc = GrpcMetrics(self.registry)
        self._families = Families(self.registry)
        self._families.build_info.labels(version, platform.python_version()).set(1)
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._models: dict[str, tuple[str, ...] | None] = {}
        self._threads: dict[str, tuple[str, ...]] = {}
        self._batches: dict[str, BatchSeries] = {}
        self._waits = Looked(self._families.queue_wait_seconds)
        self._cached = Looked(self._families.cache_requests)
        self._lanes: Callable[[], Mapping[str, Lane]] = dict
        self._finding_kinds = tuple(finding_kinds)

    # What the server tells.

    def add_model(self, model: str) -> None:
        """Let `model` be a label; from now on its series are there, at 0."""
        if model in self._models:
            return
        self._models[model] = None
        for priority in PRIORITIES:
            self._show_queue(model, priority)
        self._show_batches(model)
        for kind in self._finding_kinds:
            self._families.findings.labels(model, kind)
            self._families.retries.labels(model, kind)

    def model_serves(self, facts: ModelFacts) -> None:
        """A model was proven and serves; what was said of the one before it goes away."""
        self.add_model(facts.model)
        self.model_gone(facts.model)
        told = (facts.model, facts.digest, facts.engine, facts.compute_type, facts.license_name)
        self._models[facts.model] = told
        self._families.model_info.labels(*told).set(1)
        self._families.model_load_seconds.labels(facts.model).set(facts.load_seconds)

    def threads_chosen(
        self, model: str, *, threads: int, plan: str, lone: str, reason: str
    ) -> None:
        """A model runs on `threads` threads, as `plan`, such as `2x1`, and `lone` say."""
        name = self._label(model)
        if name in self._threads:
            self._families.engine_threads.remove(*self._threads[name])
        self._threads[name] = (name, plan, lone, reason)
        self._families.engine_threads.labels(name, plan, lone, reason).set(threads)

    def model_gone(self, model: str) -> None:
        """A model serves no more."""
        told = self._models.get(model)
        if told is not None:
            self._families.model_info.remove(*told)
            self._models[model] = None

    def model_reloaded(self, model: str, *, succeeded: bool) -> None:
        """A replacement of a serving model was tried."""
        self._families.model_reloads.labels(self._label(model), _SUCCESS[succeeded]).inc()

    def certificate_expires(self, timestamp: float | None) -> None:
        """The certificate expires at `timestamp`, seconds since 1970; None: there is none."""
        self._families.certificate_expiry.set(timestamp)

    def watch(self, lanes: Callable[[], Mapping[str, Lane]]) -> None:
        """Ask `lanes` for the state of the queues, by model, at each `refresh`."""
        self._lanes = lanes

    def refresh(self) -> None:
        """Bring the gauges of the queues up to date; where the queues live, before rendering."""
        for model, lane in self._lanes().items():
            name = self._label(model)
            self._families.requests_in_flight.labels(name).set(lane.requests)
            for priority, depth in lane.depth.items():
                self._families.queue_depth.labels(name, _word(priority)).set(depth)
            for priority, seconds in lane.estimated_seconds.items():
                gauge = self._families.queue_estimated_seconds
                gauge.labels(name, _word(priority)).set(seconds)

    def readiness(self, *, ready: bool) -> None:
        """Whether every required service serves."""
        self._families.ready.set(float(ready))

    # What the scheduler tells.

    def waited(self, model: str, priority: Named, seconds: float) -> None:
        """A segment's batch started `seconds` after the segment was submitted."""
        self._waits[self._label(model), _word(priority)].observe(seconds)

    def batch(self, report: Batch) -> None:
        """A batch ended well."""
        series = self._batch_series(self._label(report.model))
        series.items.observe(report.items)
        series.tokens.observe(report.padded_tokens)
        series.padding_ratio.observe(report.padding_ratio)
        series.seconds.observe(report.seconds)
        series.cost_error_ratio.observe(report.cost_error_ratio)
        series.read.inc(report.input_tokens)
        series.written.inc(report.output_tokens)

    def dropped(self, model: str, priority: Named, reason: str) -> None:
        """A segment of an admitted request ended before an engine worked on it."""
        self._families.dropped.labels(self._label(model), _word(priority), reason).inc()

    def rejected(self, model: str, priority: Named, reason: str) -> None:
        """A request was not admitted."""
        self._families.rejected.labels(self._label(model), _word(priority), reason).inc()

    def cache(self, model: str, result: str) -> None:
        """A segment asked the cache, or went past it."""
        self._cached[self._label(model), result].inc()

    def rebuilt(self, model: str, *, succeeded: bool) -> None:
        """A failed engine was rebuilt, or could not be."""
        self._families.engine_rebuilds.labels(self._label(model), _SUCCESS[succeeded]).inc()

    # What the tasks tell.

    def found(self, model: str, kind: str) -> None:
        """An answer holds a finding of a kind, such as `REPETITION`."""
        self._families.findings.labels(self._label(model), kind).inc()

    def retried(self, model: str, reason: str) -> None:
        """A segment is decoded again because of a finding of a kind."""
        self._families.retries.labels(self._label(model), reason).inc()

    def _batch_series(self, name: str) -> BatchSeries:
        if name not in self._batches:
            self._batches[name] = self._families.batches_of(name)
        return self._batches[name]

    def _label(self, model: str) -> str:
        return model if model in self._models else NO_MODEL

    def _show_queue(self, model: str, priority: str) -> None:
        families = self._families
        families.queue_depth.labels(model, priority)
        families.queue_estimated_seconds.labels(model, priority)
        families.queue_wait_seconds.labels(model, priority)
        for reason in _REFUSALS:
            families.rejected.labels(model, priority, reason)
        for reason in _DROPS:
            families.dropped.labels(model, priority, reason)

    def _show_batches(self, model: str) -> None:
        families = self._families
        self._batch_series(model)
        families.requests_in_flight.labels(model)
        for result in _CACHE_RESULTS:
            families.cache_requests.labels(model, result)
        for result in _SUCCESS.values():
            families.model_reloads.labels(model, result)
            families.engine_rebuilds.labels(model, result)


def _word(priority: Named) -> str:
    return priority.name.lower()
