"""What is not the engine: cache, overhead, start; and how far outputs depend on their batch."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from tests.load.calls import Call, Load
from tests.load.processes import joined, product, run_module, send, server
from tests.load.scenario import Bench, poisson, quantile
from tests.load.standins import stand_ins
from tests.load.texts import everyday, news

if TYPE_CHECKING:
    from collections.abc import Sequence

CONTENTS: Final = 128
"""Most of a request."""
RATE: Final = 40.0
"""Requests a second at which overhead is measured: engines are idle most of the time."""
SELDOM: Final = 4.0
"""The same on a server that is hardly ever called: caches are cold, cores asleep."""
VARIANCE_BATCH: Final = 32
TRANSLATOR, SUMMARIZER = "demo-marian-ar-en", "demo-mt5-ar-summary"


def cache(bench: Bench) -> None:
    """`cache_rps`."""
    texts = tuple(everyday()[:CONTENTS])
    together = (Call(texts, bypass=False),) * bench.size(300, 40)
    single = tuple(Call((text,), bypass=False) for text in texts) * bench.size(40, 4)
    with product({"MODELS": TRANSLATOR}) as served:
        send(Load(served.grpc, together[:1])).require_answers()
        for _ in bench.each_run("cache"):
            report = send(Load(served.grpc, together, in_flight=4)).require_answers()
            segments = sum(outcome.segments for outcome in report.outcomes)
            bench.add("cache_rps", segments / report.seconds)
            report = send(Load(served.grpc, single, in_flight=64)).require_answers()
            bench.add("cache_calls_rps", len(single) / report.seconds)
    bench.results.note("cache_rps", "short everyday sentences, guards on, 4 requests in flight")


def overhead(bench: Bench) -> None:
    """`overhead_ms_p50`."""
    texts = everyday()
    with ExitStack() as stack:
        served = stack.enter_context(product({"MODELS": TRANSLATOR}))
        empty = stack.enter_context(server(module="empty_server"))
        for each in (served, empty):
            send(Load(each.grpc, tuple(Call((text,)) for text in texts[:64]), in_flight=2))
        for run in bench.each_run("overhead"):
            whole, inside = _added(served.grpc, texts, RATE, bench.size(15, 4), run)
            floor, _ = _added(empty.grpc, texts, RATE, bench.size(15, 4), run)
            bench.add("overhead_ms_p50", whole)
            bench.add("overhead_server_ms_p50", inside)
            bench.add("overhead_grpc_ms_p50", floor)
            seldom, _ = _added(served.grpc, texts, SELDOM, bench.size(15, 4), run)
            bench.add("overhead_seldom_ms_p50", seldom)
    note = (
        f"embedded translator, one everyday sentence a call, open loop at {RATE:g}/s, "
        "as the caller sees it"
    )
    bench.results.note("overhead_ms_p50", note)


def _added(
    address: str, texts: Sequence[str], rate: float, seconds: float, run: int
) -> tuple[float, float]:
    """Milliseconds at the median that are not the engine's: for the caller, and in the server."""
    arrivals = poisson(rate, seconds, seed=run)
    calls = tuple(Call((texts[i % len(texts)],)) for i in range(len(arrivals)))
    outcomes = send(Load(address, calls, arrivals=arrivals)).require_answers().outcomes
    whole = [outcome.latency - outcome.inference for outcome in outcomes]
    inside = [outcome.total - outcome.inference for outcome in outcomes]
    return 1000 * quantile(whole, 0.5), 1000 * quantile(inside, 0.5)


def ready(bench: Bench) -> None:
    """`ready_seconds`."""
    models = stand_ins()
    bundles = joined([models.translator_bundle, models.summarizer_bundle])
    for _ in bench.each_run("start"):
        with product({"MODELS": bundles}) as served:
            bench.add("ready_seconds", served.ready_seconds)
    bench.results.note("ready_seconds", "digests checked, golden outputs scored, files in memory")


def variance(bench: Bench) -> None:
    """`batch_variance_ratio`."""
    texts = [*news(), *everyday()][: bench.size(500, 60)]
    figures = {
        TRANSLATOR: "batch_variance_ratio",
        SUMMARIZER: "batch_variance_ratio_summaries",
    }
    for run in bench.each_run("variance"):
        for bundle, figure in figures.items():
            task = {
                "bundle": bundle,
                "texts": texts,
                "batch": VARIANCE_BATCH,
                "seed": run,
                "output_tokens": 64,
            }
            answer = run_module("variance", task)
            bench.add(figure, answer["differ"] / answer["texts"])
    note = (
        f"{len(texts)} real sentences, each alone and in random batches of {VARIANCE_BATCH}, int8"
    )
    for figure in figures.values():
        bench.results.note(figure, note)
