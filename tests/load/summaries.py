"""Summaries by the full-size stand-in, against transformers; its memory; two models at once."""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from tests.load.calls import Call, Load
from tests.load.processes import PARITY, joined, run_module, send, server
from tests.load.scenario import (
    DOCUMENT_TOKENS,
    OUTPUT_TOKENS,
    SUMMARY_TOKENS,
    Bench,
    bare_job,
    bare_seconds,
)
from tests.load.standins import StandIns, stand_ins
from tests.load.texts import documents, tokenizer
from tests.load.throughput import PATIENT, as_long_as_their_outputs

from khulasa_server.bundles import store
from khulasa_server.scheduling.types import SchedulerSettings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BATCHES: Final = {"xlsum": (1, 2, 4, 8), "opus-mt-ar-en": (8, 16, 32)}
"""Batch sizes that are tried for each bare engine, by the name of its model; the smallest first."""
BOUND: Final = SchedulerSettings().batch_seconds
"""What the service promises of its batches of several items."""
WORKERS: Final = 2
Groups = dict[str, list[list[str]]]
"""Inputs in pieces, by their options as JSON."""

FIXED: Final = "random weights of the production shape, guards off, fixed lengths"


def summary(bench: Bench) -> None:
    """`summary_ratio`."""
    models = stand_ins()
    texts = _documents(models, bench.size(6, 2))
    with server(
        "--unguarded", settings={"MODELS": str(models.summarizer_bundle), **PATIENT}
    ) as served:
        _seconds(served.grpc, texts[:2], in_flight=2)
        for _ in bench.each_run("summary"):
            together = _seconds(served.grpc, texts, in_flight=len(texts))
            alone = _seconds(served.grpc, texts[:2], in_flight=1)
            # Quick runs share the machine with anything, where a second OpenMP thread only spins.
            cores = bench.size(len(os.sched_getaffinity(0)), 1)
            reference = _reference(models, texts[: bench.size(2, 1)], threads=cores)
            bench.add("summary_ratio", reference / together)
            bench.add("summary_lone_ratio", reference / alone)
    note = f"{FIXED}; transformers with float32, the whole vocabulary and a thread for every core"
    bench.results.note("summary_ratio", note)


def memory(bench: Bench) -> None:
    """`resident_mb_transformers`."""
    models = stand_ins()
    for _ in bench.each_run("memory of transformers"):
        task = {"resident": [str(models.translator), str(models.summarizer)]}
        bench.add("resident_mb_transformers", run_module("reference", task, python=PARITY)["mb"])


def _documents(models: StandIns, count: int) -> list[str]:
    return documents(count, DOCUMENT_TOKENS, tokenizer(store.load(models.summarizer_bundle)))


def _summarize(text: str, *, onward: bool) -> Call:
    return Call((text,), summarize=True, max_output_tokens=SUMMARY_TOKENS, onward=onward)


def _seconds(address: str, texts: Sequence[str], *, in_flight: int) -> float:
    """Served seconds for each summary."""
    calls = tuple(_summarize(text, onward=False) for text in texts)
    report = send(Load(address, calls, in_flight=in_flight)).require_answers()
    return report.seconds / len(texts)


def _reference(models: StandIns, texts: Sequence[str], *, threads: int) -> float:
    """Transformers' seconds for each summary, one after the other."""
    task = {
        "checkpoint": str(models.summarizer),
        "texts": list(texts),
        "output_tokens": SUMMARY_TOKENS,
        "threads": threads,
    }
    seconds: list[float] = run_module("reference", task, python=PARITY)["seconds"]
    return sum(seconds) / len(seconds)


def two_models(bench: Bench) -> None:
    """`two_model_ratio`."""
    models = stand_ins()
    calls = _mixed(models, bench.size(16, 2), bench.size(256, 32))
    directories = {path.name: path for path in (models.translator_bundle, models.summarizer_bundle)}
    chosen: dict[str, tuple[int, int]] = {}
    for _ in bench.each_run("two models"):
        seconds, work = _served(joined(list(directories.values())), calls)
        serial = bounded = 0.0
        for model, groups in work.items():
            bundle = directories[f"{model}.bundle"]
            chosen.setdefault(model, _choose(bench, model, bundle, groups))
            took = {size: sum(_replay(bundle, groups, size)) for size in set(chosen[model])}
            serial += took[chosen[model][0]]
            bounded += took[chosen[model][1]]
        bench.add("two_model_ratio", serial / seconds)
        bench.add("two_model_bounded_ratio", bounded / seconds)
    note = "the engine's work was logged and run again, model by model, longest first, 2 workers"
    bench.results.note("two_model_ratio", f"{FIXED}; {note}")
    bound = f"{BOUND:g} s, or hold one input: longer ones are what the service never makes"
    bench.results.note("two_model_bounded_ratio", f"the same; bare batches take at most {bound}")


def _mixed(models: StandIns, summaries: int, translations: int) -> tuple[Call, ...]:
    """Summaries with their translation, spread evenly among translations of a sentence."""
    texts = _documents(models, summaries)
    plain = [
        Call((text,), max_output_tokens=OUTPUT_TOKENS)
        for text in as_long_as_their_outputs(models, translations)
    ]
    every = translations // summaries
    mixed: list[Call] = []
    for i, text in enumerate(texts):
        mixed += [_summarize(text, onward=True), *plain[i * every : (i + 1) * every]]
    return tuple(mixed)


def _served(bundles: str, calls: tuple[Call, ...]) -> tuple[float, dict[str, Groups]]:
    """Seconds of the load, and what the engines ran: by model, inputs by options."""
    with server("--unguarded", "--log-batches", settings={"MODELS": bundles, **PATIENT}) as served:
        send(Load(served.grpc, calls[:4])).require_answers()
        started = time.monotonic()
        load = Load(served.grpc, calls, in_flight=len(calls))
        seconds = send(load).require_answers().seconds
        batches = served.stop()["batches"]
    work: dict[str, Groups] = defaultdict(lambda: defaultdict(list))
    for batch in batches:
        if batch["started"] >= started:
            work[batch["model"]][json.dumps(batch["options"])] += batch["rows"]
    return seconds, work


def _jobs(groups: Groups, batch: int) -> list[dict[str, Any]]:
    return [
        bare_job(rows, len(rows), batch, json.loads(options)) for options, rows in groups.items()
    ]


def _replay(bundle: Path, groups: Groups, batch: int) -> list[float]:
    return bare_seconds(bundle, _jobs(groups, batch), workers=WORKERS, threads=1)


def _choose(bench: Bench, model: str, bundle: Path, groups: Groups) -> tuple[int, int]:
    """The fastest batch size, and the fastest whose batches keep the bound, or the smallest."""
    tried = {batch: sum(_replay(bundle, groups, batch)) for batch in BATCHES[model]}
    rows = sum(map(len, groups.values()))
    kept = [batch for batch in tried if tried[batch] * WORKERS * batch / rows <= BOUND]
    best = min(tried, key=tried.__getitem__)
    bounded = min(kept or BATCHES[model][:1], key=tried.__getitem__)
    told = ", ".join(f"{batch}: {seconds:.1f} s" for batch, seconds in tried.items())
    bench.say(f"  bare {model}: batches of {told}; at most {BOUND:g} s each: {bounded}")
    return best, bounded
