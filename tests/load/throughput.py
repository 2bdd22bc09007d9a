"""Full-size stand-ins at a fixed length: against bare engines, against the naive way; memory."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from tests.load.calls import Call, Load
from tests.load.figures import machine
from tests.load.processes import PARITY, Running, joined, send, server
from tests.load.scenario import (
    DOCUMENT_TOKENS,
    OUTPUT_TOKENS,
    SUMMARY_TOKENS,
    Bench,
    bare_job,
    bare_seconds,
)
from tests.load.standins import BUILD, StandIns, stand_ins
from tests.load.texts import documents, sentences, tokenizer

from khulasa_server.bundles import store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

IN_FLIGHT: Final = 256
SENTENCES: Final = 4 * IN_FLIGHT
"""So that the start, when not all are in flight, and the end, when some are left, weigh little."""
SPREAD: Final = (0.7, 1.4)
"""Of the inputs' lengths around that of the outputs."""
SIMULATED: Final = "opus-mt-ar-en"
BATCHES: Final = (16, 32, 64, 128)
PLANS: Final = ((2, 1), (1, 2))
"""Workers and threads that are tried for the bare engine, the second with the best batch only."""
OPTIONS: Final[dict[str, Any]] = {
    "beam_size": 4,
    "length_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "max_output_tokens": OUTPUT_TOKENS,
}
PATIENT: Final = {"QUEUE_SECONDS": "300"}
"""256 sentences of the full-size model are about the 10 s that may wait unless set otherwise."""
FIXED: Final = (
    "random weights of the production shape, guards off, real sentences of 21 to 42 tokens, "
    "30 tokens written for each"
)


def throughput(bench: Bench) -> None:
    """`ceiling_ratio`, `naive_ratio` and `resident_mb`."""
    models = stand_ins()
    texts = as_long_as_their_outputs(models, bench.size(SENTENCES, 128))
    bundles = joined([models.translator_bundle, models.summarizer_bundle])
    with ExitStack() as stack:
        served = stack.enter_context(server("--unguarded", settings={"MODELS": bundles, **PATIENT}))
        _send_sentences(served, texts[:IN_FLIGHT])
        bare = _Bare(models.translator_bundle, texts)
        bare.choose(bench)
        naive = stack.enter_context(_naive_server(models))
        for run in bench.each_run("throughput"):
            # Which side goes first changes, so that neither profits from what is warm.
            rates = {}
            for side in ("bare", "served") if run % 2 else ("served", "bare"):
                rates[side] = bare.rates() if side == "bare" else [_send_sentences(served, texts)]
            _compare(bench, rates["served"][0], rates["bare"], _naive_rate(bench, naive, texts))
        _summarize_once(served, models)
        bench.add("resident_mb", served.memory_mb())
        _keep_costs(served.stop()["coefficients"])
    for name in ("ceiling_ratio", "naive_ratio", "resident_mb"):
        bench.results.note(name, FIXED)


def as_long_as_their_outputs(models: StandIns, count: int) -> list[str]:
    """Sentences of about as many tokens as the model is made to write.

    The service learns how long outputs are for their inputs; no model writes 30 tokens for 4.
    """
    tokenize = tokenizer(store.load(models.translator_bundle))
    low, high = (round(OUTPUT_TOKENS * part) for part in SPREAD)
    return sentences(count, wanted=lambda text: low <= len(tokenize(text)) <= high)


def _keep_costs(coefficients: dict[str, dict[str, float]]) -> None:
    """What the simulation runs with."""
    fitted = {"machine": machine(), "coefficients": coefficients[SIMULATED]}
    (BUILD / "cost.json").write_text(json.dumps(fitted, indent=1) + "\n", "utf-8")


def _compare(bench: Bench, served: float, bare: list[float], naive: float) -> None:
    bench.add("ceiling_served_rps", served)
    bench.add("ceiling_ratio", served / bare[0])
    bench.add("ceiling_global_ratio", served / bare[1])
    bench.add("naive_rps", naive)
    bench.add("naive_ratio", served / naive)


def _calls(texts: Sequence[str]) -> tuple[Call, ...]:
    return tuple(Call((text,), max_output_tokens=OUTPUT_TOKENS) for text in texts)


def _send_sentences(running: Running, texts: Sequence[str]) -> float:
    """Sentences a second."""
    load = Load(running.grpc, _calls(texts), in_flight=IN_FLIGHT)
    return len(texts) / send(load).require_answers().seconds


class _Bare:
    """The engine alone, at the settings that suit it best.

    Args:
        bundle: of the model.
        texts: what the server translates, too.
    """

    def __init__(self, bundle: Path, texts: Sequence[str]) -> None:
        tokenize = tokenizer(store.load(bundle))
        self._bundle = bundle
        self._rows = [list(tokenize(text)) for text in texts]
        self._plan, self._batch = PLANS[0], BATCHES[-1]

    def choose(self, bench: Bench) -> None:
        """Find the best plan and batch size on one window."""
        seconds, self._batch = min(zip(self._tried(PLANS[0], BATCHES), BATCHES, strict=True))
        others = {plan: self._tried(plan, (self._batch,))[0] for plan in PLANS[1:]}
        times = {PLANS[0]: seconds, **others}
        self._plan = min(times, key=times.__getitem__)
        for (workers, threads), each in times.items():
            bench.say(f"  bare: batch {self._batch}, {workers} x {threads}, {each:.2f} s a window")

    def _tried(self, plan: tuple[int, int], batches: Sequence[int]) -> list[float]:
        """Seconds of one window with each batch size."""
        rows, (workers, threads) = self._rows[:IN_FLIGHT], plan
        jobs = [bare_job(rows, IN_FLIGHT, batch, OPTIONS) for batch in batches]
        return bare_seconds(self._bundle, jobs, workers=workers, threads=threads)

    def rates(self) -> list[float]:
        """Sentences a second: sorted within windows, and sorted as a whole."""
        jobs = [
            bare_job(self._rows, window, self._batch, OPTIONS)
            for window in (IN_FLIGHT, len(self._rows))
        ]
        workers, threads = self._plan
        seconds = bare_seconds(self._bundle, jobs, workers=workers, threads=threads)
        return [len(self._rows) / each for each in seconds]


def _naive_server(models: StandIns) -> Any:  # noqa: ANN401 - a context manager
    flags = ("--checkpoint", str(models.translator), "--threads", "1", "--handlers", "10")
    return server(*flags, module="naive_server", python=PARITY)


def _naive_rate(bench: Bench, naive: Running, texts: Sequence[str]) -> float:
    """Sentences a second with as many in flight as there are cores, which is when it is fastest."""
    some = texts[: bench.size(16, 4)]
    send(Load(naive.grpc, _calls(some[:1])))
    report = send(Load(naive.grpc, _calls(some), in_flight=2))
    return len(some) / report.require_answers().seconds


def _summarize_once(served: Running, models: StandIns) -> None:
    """Use the summarizer as well before memory is read."""
    tokenize = tokenizer(store.load(models.summarizer_bundle))
    texts = documents(4, DOCUMENT_TOKENS, tokenize)
    calls = tuple(Call((text,), summarize=True, max_output_tokens=SUMMARY_TOKENS) for text in texts)
    send(Load(served.grpc, calls)).require_answers()
