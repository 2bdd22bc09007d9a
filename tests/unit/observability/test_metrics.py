"""What `/metrics` promises: names, labels, and a bounded number of series."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from khulasa_server.observability.metrics import NO_MODEL, Metrics, ModelFacts


class Priority(IntEnum):
    """As the scheduler's."""

    INTERACTIVE = 0
    BULK = 1


@dataclass
class Batch:
    """As the scheduler's report."""

    model: str
    items: int = 4
    input_tokens: int = 80
    padded_tokens: int = 100
    output_tokens: int = 60
    seconds: float = 0.5
    padding_ratio: float = 1.25
    cost_error_ratio: float = 0.1


@dataclass
class Lane:
    """As the scheduler's statistics."""

    depth: dict[Priority, int] = field(default_factory=dict)
    estimated_seconds: dict[Priority, float] = field(default_factory=dict)
    requests: int = 0


FACTS = ModelFacts("mt", "sha256:1", "ctranslate2", "int8_float32", "Apache-2.0", 1.5)

CONTRACT = {
    "khulasa_queue_depth": {"model", "priority"},
    "khulasa_queue_estimated_seconds": {"model", "priority"},
    "khulasa_queue_wait_seconds": {"model", "priority"},
    "khulasa_rejected": {"model", "priority", "reason"},
    "khulasa_dropped": {"model", "priority", "reason"},
    "khulasa_requests_in_flight": {"model"},
    "khulasa_batch_items": {"model"},
    "khulasa_batch_tokens": {"model"},
    "khulasa_batch_padding_ratio": {"model"},
    "khulasa_inference_seconds": {"model"},
    "khulasa_cost_error_ratio": {"model"},
    "khulasa_tokens": {"model", "direction"},
    "khulasa_findings": {"model", "kind"},
    "khulasa_retries": {"model", "reason"},
    "khulasa_cache_requests": {"model", "result"},
    "khulasa_model_info": {"model", "digest", "engine", "compute_type", "license"},
    "khulasa_model_load_seconds": {"model"},
    "khulasa_model_reloads": {"model", "result"},
    "khulasa_engine_threads": {"model", "plan", "lone", "reason"},
    "khulasa_certificate_expiry_timestamp_seconds": set(),
    "khulasa_build_info": {"version", "python_version"},
}
"""Families by name, without the `_total` of counters."""


def used() -> Metrics:
    """Metrics after one of everything."""
    metrics = Metrics("1.2.3", CollectorRegistry())
    metrics.model_serves(FACTS)
    metrics.threads_chosen("mt", threads=2, plan="2x1", lone="", reason="default")
    metrics.model_reloaded("mt", succeeded=False)
    metrics.certificate_expires(2e9)
    metrics.waited("mt", Priority.BULK, 0.2)
    metrics.batch(Batch("mt"))
    metrics.dropped("mt", Priority.INTERACTIVE, "cancelled")
    metrics.rejected("mt", Priority.INTERACTIVE, "OVERLOADED")
    metrics.cache("mt", "hit")
    metrics.rebuilt("mt", succeeded=True)
    metrics.found("mt", "REPETITION")
    metrics.retried("mt", "REPETITION")
    lane = Lane({Priority.INTERACTIVE: 3}, {Priority.INTERACTIVE: 1.5}, requests=2)
    metrics.watch(lambda: {"mt": lane})
    metrics.refresh()
    metrics.readiness(ready=True)
    return metrics


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """One sample."""
    return metrics.registry.get_sample_value(name, labels)


def test_names_and_labels_are_those_of_the_contract() -> None:
    """After one of everything, each family is there with exactly its labels, and no other is."""
    families = {
        family.name: {frozenset(sample.labels) - {"le"} for sample in family.samples}
        for family in used().registry.collect()
        if family.name.startswith("khulasa_")
    }
    extra = {
        "khulasa_engine_rebuilds": {frozenset({"model", "result"})},
        "khulasa_ready": {frozenset[str]()},
    }

    assert families == {name: {frozenset(labels)} for name, labels in CONTRACT.items()} | extra


def test_what_happened_is_what_is_shown() -> None:
    """Each verb moves its own series by what it was told."""
    metrics = used()
    queue = {"model": "mt", "priority": "interactive"}

    assert value(metrics, "khulasa_queue_depth", **queue) == 3
    assert value(metrics, "khulasa_queue_estimated_seconds", **queue) == 1.5
    assert value(metrics, "khulasa_requests_in_flight", model="mt") == 2
    assert value(metrics, "khulasa_rejected_total", **queue, reason="OVERLOADED") == 1
    assert value(metrics, "khulasa_dropped_total", **queue, reason="cancelled") == 1
    assert value(metrics, "khulasa_queue_wait_seconds_sum", model="mt", priority="bulk") == 0.2
    assert value(metrics, "khulasa_batch_tokens_sum", model="mt") == 100
    assert value(metrics, "khulasa_tokens_total", model="mt", direction="input") == 80
    assert value(metrics, "khulasa_tokens_total", model="mt", direction="output") == 60
    assert value(metrics, "khulasa_cache_requests_total", model="mt", result="hit") == 1
    assert value(metrics, "khulasa_model_reloads_total", model="mt", result="failure") == 1
    assert value(metrics, "khulasa_certificate_expiry_timestamp_seconds") == 2e9


def test_threads_are_told_with_their_reason() -> None:
    """A later choice takes the place of the earlier one."""
    metrics = used()
    first = {"model": "mt", "plan": "2x1", "lone": "", "reason": "default"}
    assert value(metrics, "khulasa_engine_threads", **first) == 2
    metrics.threads_chosen("mt", threads=2, plan="2x1", lone="1x2", reason="calibrated")
    later = {"model": "mt", "plan": "2x1", "lone": "1x2", "reason": "calibrated"}
    assert value(metrics, "khulasa_engine_threads", **later) == 2
    assert value(metrics, "khulasa_engine_threads", **first) is None


def test_a_known_model_has_its_series_before_anything_happened() -> None:
    """Rates and ratios are 0, not absent, before the first event."""
    metrics = Metrics("1", CollectorRegistry(), finding_kinds=["SENTINEL"])
    metrics.add_model("mt")
    metrics.add_model("mt")
    queue = {"model": "mt", "priority": "bulk"}

    assert value(metrics, "khulasa_rejected_total", **queue, reason="OVERLOADED") == 0
    assert value(metrics, "khulasa_queue_wait_seconds_count", **queue) == 0
    assert value(metrics, "khulasa_tokens_total", model="mt", direction="output") == 0
    assert value(metrics, "khulasa_findings_total", model="mt", kind="SENTINEL") == 0


def test_a_replaced_model_leaves_no_series_behind() -> None:
    """After a reload one digest is told, and after an unload none."""
    metrics = used()
    metrics.model_serves(ModelFacts("mt", "sha256:2", "ctranslate2", "float32", "Apache-2.0", 2.0))
    exposed = generate_latest(metrics.registry).decode()
    assert "sha256:2" in exposed
    assert "sha256:1" not in exposed

    metrics.model_gone("mt")
    metrics.model_gone("mt")
    assert "khulasa_model_info{" not in generate_latest(metrics.registry).decode()


def test_no_certificate_means_no_sample() -> None:
    """Without TLS nothing says that a certificate expired in 1970; the family is still known."""
    exposed = generate_latest(Metrics("1", CollectorRegistry()).registry).decode()
    lines = [line for line in exposed.splitlines() if "certificate_expiry" in line]
    assert [line.split()[1] for line in lines] == ["HELP", "TYPE"]


def test_there_are_no_created_series() -> None:
    """No family has the `_created` series that double the size of a scrape."""
    assert "_created" not in generate_latest(used().registry).decode()


def test_the_process_is_measured_too() -> None:
    """Memory, processor time and open files of the process are there."""
    exposed = generate_latest(used().registry).decode()
    assert "process_resident_memory_bytes " in exposed
    assert "process_cpu_seconds_total " in exposed
    assert "process_open_fds " in exposed


@given(st.lists(st.text(), max_size=20))
def test_models_that_are_not_served_make_no_series(names: list[str]) -> None:
    """Whatever model callers name, the number of series stays the same."""
    metrics = used()
    one_of_each(metrics, "never-announced")
    before = generate_latest(metrics.registry).count(b"\nkhulasa_")
    for name in names:
        one_of_each(metrics, name + "!")

    assert generate_latest(metrics.registry).count(b"\nkhulasa_") == before
    queue = {"model": NO_MODEL, "priority": "bulk"}
    told = value(metrics, "khulasa_rejected_total", **queue, reason="OVERLOADED")
    assert told == len(names) + 1


def one_of_each(metrics: Metrics, model: str) -> None:
    """Every verb that takes the name of a model."""
    metrics.waited(model, Priority.BULK, 0.1)
    metrics.batch(Batch(model))
    metrics.dropped(model, Priority.BULK, "expired")
    metrics.rejected(model, Priority.BULK, "OVERLOADED")
    metrics.cache(model, "miss")
    metrics.found(model, "SENTINEL")
    metrics.retried(model, "SENTINEL")
    metrics.model_reloaded(model, succeeded=True)
    metrics.rebuilt(model, succeeded=True)


def test_series_that_are_looked_up_once_go_on_counting() -> None:
    """What is kept of a family is the family's own series, one for each set of labels."""
    metrics = Metrics("1")
    for model in ("mt", "other"):
        metrics.add_model(model)
        for _ in range(3):
            metrics.cache(model, "hit")
            metrics.batch(Batch(model))
            metrics.waited(model, Priority.BULK, 0.1)
    assert value(metrics, "khulasa_cache_requests_total", model="mt", result="hit") == 3
    assert value(metrics, "khulasa_batch_items_count", model="other") == 3
    assert value(metrics, "khulasa_queue_wait_seconds_count", model="mt", priority="bulk") == 3
