"""The embedded models under sentences of mixed lengths: against FIFO, and overloaded."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final

from tests.load.calls import Call, Load, Report
from tests.load.processes import BenchError, Running, send, server
from tests.load.scenario import Bench, embedded, poisson, quantile
from tests.load.texts import mixed_lengths, tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from khulasa_server.engines.base import Tokens

TRANSLATOR: Final = "demo-marian-ar-en"
OPEN_LOAD: Final = 0.8
"""Of FIFO's capacity, at which latencies are compared."""
TAIL_SECONDS: Final = 30
"""Of it: some thousand calls, so that a p99 rests on more than ten of them."""
IN_FLIGHT: Final = 256


def mixed(bench: Bench) -> None:
    """`mixed_length_ratio` and the latencies beside it."""
    texts = mixed_lengths(bench.size(1024, 300), tokenizer(embedded(TRANSLATOR)))
    calls = tuple(Call((text,)) for text in texts)
    settings = {"MODELS": TRANSLATOR, "QUEUE_SECONDS": "120"}
    with ExitStack() as stack:
        ours = stack.enter_context(server("--log-batches", settings=settings))
        fifo = stack.enter_context(server("--log-batches", "--fifo", settings=settings))
        for running in (ours, fifo):
            send(Load(running.grpc, calls[: bench.size(512, 128)], in_flight=IN_FLIGHT))
        for run in bench.each_run("mixed lengths"):
            sides = (ours, fifo) if run % 2 else (fifo, ours)
            rates = {id(side): _closed_rate(side, calls) for side in sides}
            bench.add("mixed_length_ratio", rates[id(ours)] / rates[id(fifo)])
            rate, seconds = OPEN_LOAD * rates[id(fifo)], bench.size(TAIL_SECONDS, 4)
            tails = {id(side): _tail(side, calls, rate, seconds, run) for side in sides}
            bench.add("mixed_length_p99_seconds", tails[id(ours)])
            bench.add("mixed_length_p99_ratio", tails[id(ours)] / tails[id(fifo)])
        longest = max(batch["seconds"] for batch in ours.stop()["batches"])
        bench.add("mixed_length_longest_batch", longest)
    note = "embedded translator, guards on, 3 to 120 tokens by Zipf's law, 256 in flight"
    bench.results.note("mixed_length_ratio", note)


def _closed_rate(running: Running, calls: tuple[Call, ...]) -> float:
    report = send(Load(running.grpc, calls, in_flight=IN_FLIGHT)).require_answers()
    return len(calls) / report.seconds


def _tail(
    running: Running, calls: tuple[Call, ...], rate: float, seconds: float, seed: int
) -> float:
    """p99 latency in seconds of an open load."""
    arrivals = poisson(rate, seconds, seed)
    some = tuple(calls[i % len(calls)] for i in range(len(arrivals)))
    report = send(Load(running.grpc, some, arrivals=arrivals)).require_answers()
    return quantile([outcome.latency for outcome in report.outcomes], 0.99)


DEADLINE: Final = 2.0
BATCH_SECONDS: Final = DEADLINE / 4
"""A quarter of the slack that every request has when it comes."""
SENTENCES: Final = 4
"""Of a request: the embedded model is so small that otherwise gRPC would be most of the work."""
SETTLED: Final = 2 * DEADLINE
"""Seconds at the start of a load that do not count: nobody waits yet."""
LOADS: Final = {"0_8x": 0.8, "2x": 2.0, "5x": 5.0}
FAMILY: Final = "khulasa_tokens_total"


@dataclass(frozen=True, slots=True)
class _Work:
    """Requests to send, and how much each is.

    Args:
        calls: the requests.
        tokens: input tokens of each.
    """

    calls: tuple[Call, ...]
    tokens: tuple[int, ...]

    @property
    def mean(self) -> float:
        """Tokens of a request."""
        return sum(self.tokens) / len(self.tokens)

    def first(self, count: int) -> _Work:
        """So many of them, from the start again where they do not suffice."""
        places = [i % len(self.calls) for i in range(count)]
        return _Work(tuple(self.calls[i] for i in places), tuple(self.tokens[i] for i in places))


def overload(bench: Bench) -> None:
    """`overload_goodput_ratio_*`, `late_work_ratio`, `refusal_ms_p99`."""
    work = _requests(bench.size(600, 200), tokenizer(embedded(TRANSLATOR)))
    flags = ("--batch-seconds", str(BATCH_SECONDS))
    for run in bench.each_run("overload"):
        with server(*flags, settings={"MODELS": TRANSLATOR}) as running:
            # What the server learns about costs in a closed loop first, it knows ever after.
            _capacity(running, work.first(bench.size(200, 60)))
            first = _capacity(running, work)
            before = running.memory_mb("VmRSS")
            late, offers = [], {}
            for name, factor in LOADS.items():
                offers[name] = _Offer(work, factor * first, float(bench.size(16, 8)), seed=run)
                late.append(offers[name].send_to(running))
            bench.add("overload_memory_growth_mb", running.memory_mb("VmRSS") - before)
            # The machine's own speed drifts by more than what is looked for.
            capacity = fmean((first, _capacity(running, work)))
            bench.add("overload_capacity_rps", capacity / work.mean)
            for name, offer in offers.items():
                bench.add(f"overload_goodput_ratio_{name}", offer.good / offer.possible(capacity))
            bench.add("late_work_ratio", max(late))
            bench.add("refusal_ms_p99", 1000 * _refusals_p99(running.stop()))
    note = f"embedded translator, guards on, {SENTENCES} sentences of mixed lengths a request"
    bench.results.note(
        "overload_goodput_ratio_2x",
        f"{note}, deadline {DEADLINE:g} s, batches of at most {BATCH_SECONDS:g} s; counted in "
        "input tokens, so that refusing the long ones does not pay",
    )


class _Offer:
    """An open load of so many tokens a second, and what became of it.

    What comes or is answered before `SETTLED`, and after the last arrival, does not count.

    Args:
        work: requests to take from.
        rate: tokens a second.
        seconds: how long requests arrive.
        seed: of the arrivals.
    """

    def __init__(self, work: _Work, rate: float, seconds: float, seed: int) -> None:
        self._seconds = seconds
        self._arrivals = poisson(rate / work.mean, seconds, seed)
        self._work = work.first(len(self._arrivals))
        self.good = 0
        """Tokens of requests that were answered, each within its deadline."""

    def send_to(self, running: Running) -> float:
        """Send it; the share of the tokens computed that nobody got in time."""
        before = running.total(FAMILY)
        load = Load(running.grpc, self._work.calls, deadline=DEADLINE, arrivals=self._arrivals)
        report = send(load)
        computed = running.total(FAMILY) - before
        _require_punctual(report)
        self.good = sum(
            tokens
            for tokens, outcome in zip(self._work.tokens, report.outcomes, strict=True)
            if outcome.answered and self._counts(outcome.sent + outcome.latency)
        )
        return 1 - sum(outcome.tokens for outcome in report.answered) / computed

    def possible(self, capacity: float) -> float:
        """Tokens that could be answered: what was offered, or what the capacity allows."""
        offered = sum(
            tokens
            for tokens, arrival in zip(self._work.tokens, self._arrivals, strict=True)
            if self._counts(arrival)
        )
        return min(offered, capacity * (self._seconds - SETTLED))

    def _counts(self, moment: float) -> bool:
        return SETTLED <= moment < self._seconds


def _requests(count: int, tokenize: Callable[[str], Tokens]) -> _Work:
    texts = mixed_lengths(count * SENTENCES, tokenize, seed=2)
    bounds = pairwise(range(0, len(texts) + 1, SENTENCES))
    parts = [tuple(texts[first:last]) for first, last in bounds]
    tokens = tuple(sum(len(tokenize(text)) for text in part) for part in parts)
    return _Work(tuple(Call(part) for part in parts), tokens)


def _capacity(running: Running, work: _Work) -> float:
    """Input tokens a second in a closed loop."""
    report = send(Load(running.grpc, work.calls, in_flight=IN_FLIGHT // SENTENCES))
    return sum(work.tokens) / report.require_answers().seconds


def _require_punctual(report: Report) -> None:
    if report.lateness > DEADLINE / 4:
        raise BenchError(f"the generator was {report.lateness:.2f} s late: it was no open loop")


def _refusals_p99(record: dict[str, Any]) -> float:
    """Seconds from a handler's start to OVERLOADED."""
    refused = [seconds for code, seconds in record["refusals"] if code == "RESOURCE_EXHAUSTED"]
    if not refused:
        raise BenchError("nothing was refused at five times the capacity")
    return quantile(refused, 0.99)
