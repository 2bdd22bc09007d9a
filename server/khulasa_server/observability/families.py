"""Every `khulasa_*` family: its name, labels, help and buckets, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily

from khulasa_server.observability.grpc_metrics import SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prometheus_client import CollectorRegistry, Metric

_MODEL: Final = ("model",)
_QUEUE: Final = ("model", "priority")
_ITEMS: Final = (1, 2, 4, 8, 16, 32, 64, 128)
_TOKENS: Final = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
_PADDING: Final = (1, 1.02, 1.05, 1.1, 1.2, 1.5, 2, 3, 5)
_ERROR: Final = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 5)
_BATCH_SECONDS: Final = (0.001, 0.002, *SECONDS)


class BatchSeries(NamedTuple):
    """What is told of each batch of a model, looked up once."""

    items: Histogram
    tokens: Histogram
    padding_ratio: Histogram
    seconds: Histogram
    cost_error_ratio: Histogram
    read: Counter
    written: Counter


Series = TypeVar("Series", Counter, Histogram)


class Looked(dict[tuple[str, ...], Series]):
    """Series of a family by their labels; the library takes ten times as long to find one.

    Args:
        family: whose series are never removed.
    """

    def __init__(self, family: Series) -> None:
        super().__init__()
        self._family: Series = family

    def __missing__(self, labels: tuple[str, ...]) -> Series:
        series: Series = self._family.labels(*labels)
        self[labels] = series
        return series


class Families:
    """The families, registered once.

    Args:
        registry: where.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._define_queues()
        self._define_batches()
        self._define_answers()
        self._define_models()

    def _define_queues(self) -> None:
        self.queue_depth = self._gauge("khulasa_queue_depth", "Segments waiting.", _QUEUE)
        self.queue_estimated_seconds = self._gauge(
            "khulasa_queue_estimated_seconds",
            "Estimated seconds until the work that is admitted now is done.",
            _QUEUE,
        )
        self.queue_wait_seconds = self._histogram(
            "khulasa_queue_wait_seconds",
            "Time a segment waited for its batch to start.",
            _QUEUE,
            _BATCH_SECONDS,
        )
        self.rejected = self._counter(
            "khulasa_rejected_total", "Requests that were not admitted.", (*_QUEUE, "reason")
        )
        self.dropped = self._counter(
            "khulasa_dropped_total",
            "Segments of admitted requests that ended before an engine worked on them.",
            (*_QUEUE, "reason"),
        )
        self.requests_in_flight = self._gauge(
            "khulasa_requests_in_flight", "Admitted requests that have not ended.", _MODEL
        )

    def _define_batches(self) -> None:
        self.batch_items = self._histogram(
            "khulasa_batch_items", "Segments in a batch.", _MODEL, _ITEMS
        )
        self.batch_tokens = self._histogram(
            "khulasa_batch_tokens", "Input tokens of a batch, padding included.", _MODEL, _TOKENS
        )
        self.batch_padding_ratio = self._histogram(
            "khulasa_batch_padding_ratio",
            "Input tokens of a batch, padding included, for each one without.",
            _MODEL,
            _PADDING,
        )
        self.inference_seconds = self._histogram(
            "khulasa_inference_seconds", "Run time of a batch.", _MODEL, _BATCH_SECONDS
        )
        self.cost_error_ratio = self._histogram(
            "khulasa_cost_error_ratio",
            "Difference of a batch's predicted and measured run time, for each measured second.",
            _MODEL,
            _ERROR,
        )
        self.engine_rebuilds = self._counter(
            "khulasa_engine_rebuilds_total",
            "Attempts to rebuild an engine that failed.",
            (*_MODEL, "result"),
        )

    def batches_of(self, model: str) -> BatchSeries:
        """The series of a model's batches; from now on each of them is there, at 0."""
        return BatchSeries(
            items=self.batch_items.labels(model),
            tokens=self.batch_tokens.labels(model),
            padding_ratio=self.batch_padding_ratio.labels(model),
            seconds=self.inference_seconds.labels(model),
            cost_error_ratio=self.cost_error_ratio.labels(model),
            read=self.tokens.labels(model, "input"),
            written=self.tokens.labels(model, "output"),
        )

    def _define_answers(self) -> None:
        self.tokens = self._counter(
            "khulasa_tokens_total",
            "Tokens that engines read and wrote, padding not included.",
            (*_MODEL, "direction"),
        )
        self.findings = self._counter(
            "khulasa_findings_total", "Findings in answers.", (*_MODEL, "kind")
        )
        self.retries = self._counter(
            "khulasa_retries_total",
            "Segments decoded a second time, by the finding that asked for it.",
            (*_MODEL, "reason"),
        )
        self.cache_requests = self._counter(
            "khulasa_cache_requests_total",
            "Segments by what the cache did for them.",
            (*_MODEL, "result"),
        )

    def _define_models(self) -> None:
        self.model_info = self._gauge(
            "khulasa_model_info",
            "A model that serves; always 1.",
            (*_MODEL, "digest", "engine", "compute_type", "license"),
        )
        self.model_load_seconds = self._gauge(
            "khulasa_model_load_seconds",
            "Time from the start of the last load until the model was proven.",
            _MODEL,
        )
        self.model_reloads = self._counter(
            "khulasa_model_reloads_total",
            "Replacements of a serving model that were tried.",
            (*_MODEL, "result"),
        )
        self.engine_threads = self._gauge(
            "khulasa_engine_threads",
            "Threads that run a model; `plan` is batches x threads of each, `lone` the same for a "
            "long text that has the machine to itself, `reason` where both come from.",
            (*_MODEL, "plan", "lone", "reason"),
        )
        self.build_info = self._gauge(
            "khulasa_build_info", "What runs; always 1.", ("version", "python_version")
        )
        self.ready = LateGauge("khulasa_ready", "1 while every required service serves, else 0.")
        self._registry.register(self.ready)
        self.certificate_expiry = LateGauge(
            "khulasa_certificate_expiry_timestamp_seconds",
            "When the server's certificate expires, in seconds since 1970; absent without TLS.",
        )
        self._registry.register(self.certificate_expiry)

    def _counter(self, name: str, text: str, labels: Sequence[str]) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, labels: Sequence[str]) -> Gauge:
        return Gauge(name, text, labels, registry=self._registry)

    def _histogram(
        self, name: str, text: str, labels: Sequence[str], buckets: Sequence[float]
    ) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self._registry)


class LateGauge:
    """A gauge without a sample until it is set: 0 would say that a certificate expired in 1970.

    Args:
        name: of its only series.
        documentation: its help text.
    """

    def __init__(self, name: str, documentation: str) -> None:
        self._name = name
        self._documentation = documentation
        self._value: float | None = None

    def set(self, value: float | None) -> None:
        """Show `value` from now on; None: nothing."""
        self._value = value

    def describe(self) -> Iterable[Metric]:
        """Name and help, for the registry."""
        return [GaugeMetricFamily(self._name, self._documentation)]

    def collect(self) -> Iterable[Metric]:
        """What is shown now."""
        return [GaugeMetricFamily(self._name, self._documentation, value=self._value)]
