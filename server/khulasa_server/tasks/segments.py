"""One segment on its way through scheduler, engine and guards."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from khulasa_server.engines.base import Finish
from khulasa_server.guards.judge import (
    is_degenerate,
    judge_translation,
    needs_retry,
    severity,
)
from khulasa_server.tasks.parts import around, as_copied, as_part, find_lost, joined
from khulasa_server.tasks.planning import Planned, plan_parts
from khulasa_server.tasks.values import Outcome, Usage
from khulasa_server.text.spans import Span

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Iterable, Iterator, Sequence

    from khulasa_server.engines.base import GenerationOptions, Tokens
    from khulasa_server.guards.findings import Finding
    from khulasa_server.scheduling import Completion, Ticket
    from khulasa_server.tasks.routing import Route
    from khulasa_server.tasks.values import Options
    from khulasa_server.tasks.watcher import Watcher

Result = TypeVar("Result")

AT_ONCE = 256
"""Segments of a request that run side by side: several batches. Of a text with thousands of lines
all at once would hold up the event loop for seconds."""

OUTPUT_RATIO = 2
OUTPUT_SLACK = 24
"""A segment of n tokens may write 2 n + 24. Of 2,995 human translations (PUD, FLORES dev,
Tatoeba) none has more than 2 n + 6, with the embedded or the opus-mt-ar-en tokenizer; what a
looping model writes beyond it is lost anyway."""

STRICT_NGRAM = 3
"""A retry writes no three tokens twice."""
STRICT_BEAMS = 2
"""A retry keeps so many more hypotheses, to find one beside the loop."""
MIN_SPLIT_TOKENS = 16
"""A cut segment shorter than this is not split: halves of a phrase mean less than the phrase."""


@dataclass(frozen=True, slots=True)
class Done:
    """A segment's output and what was found in it; findings' spans are in source and output."""

    text: str
    outcome: Outcome
    score: float | None
    findings: tuple[Finding, ...]
    usage: Usage


def output_limit(input_tokens: int, most: int) -> int:
    """Tokens a segment may write before it counts as cut."""
    wanted = OUTPUT_RATIO * input_tokens + OUTPUT_SLACK
    return min(most, _rounded_up(wanted))


@lru_cache(maxsize=1024)
def limited(options: GenerationOptions, input_tokens: int) -> GenerationOptions:
    """Options for a segment of so many tokens; the same object each time, equal at a glance."""
    return replace(options, max_output_tokens=output_limit(input_tokens, options.max_output_tokens))


def _rounded_up(tokens: int) -> int:
    """To a power of two.

    Segments share a batch only with those of equal limits. In a simulation with 64 sentences in
    flight, steps of 32 cost 11 % of the throughput, these 7 %, twice as many steps 7 % as well;
    under overload, where less waits, batches have three segments with those and five with these.
    """
    return 1 << (tokens - 1).bit_length()


def stricter(options: GenerationOptions) -> GenerationOptions:
    """Options that make loops harder."""
    banned = min(filter(None, (options.no_repeat_ngram_size, STRICT_NGRAM)))
    beams = min(options.beam_size + STRICT_BEAMS, 16)
    return replace(options, beam_size=beams, no_repeat_ngram_size=banned)


async def in_order(
    jobs: Iterable[Coroutine[None, None, Result]], *, at_once: int = AT_ONCE
) -> AsyncGenerator[Result, None]:
    """Run jobs side by side, yield each result as soon as it and all before it are there.

    At most `at_once` run; `jobs` is asked for the next one when the first of them has ended. The
    first failure, and leaving early, cancels the rest. A job that is the only one runs in the
    caller's own task, which saves it two turns of the event loop.
    """
    remaining = iter(jobs)
    first = list(islice(remaining, at_once))
    if len(first) == 1 < at_once:
        yield await first[0]
        return
    tasks = deque(map(asyncio.ensure_future, first))
    try:
        while tasks:
            yield await tasks[0]
            tasks.popleft()
            tasks.extend(map(asyncio.ensure_future, islice(remaining, 1)))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class SegmentRunner:
    """Runs the segments of one request through scheduler, engine and guards."""

    ticket: Ticket
    route: Route
    options: Options
    watcher: Watcher

    def jobs(
        self, text: str, planned: Iterable[Planned], first: int = 0
    ) -> Iterator[Coroutine[None, None, Done]]:
        """One job a segment; earlier ones have the right of way."""
        return (self.run(text, piece, first + i) for i, piece in enumerate(planned))

    async def run(self, text: str, piece: Planned, order: int) -> Done:
        """Translate one segment, once more where the guards ask for it."""
        source = piece.span.of(text)
        if piece.tokens is None:
            return Done(source, Outcome.COPIED, None, (), Usage())
        whole = replace(piece, span=Span(0, len(source))) if piece.span.start else piece
        first = await self._attempt(source, [whole], order, self._generation)
        lost = find_lost(source, first.findings)
        if not (lost or needs_retry(first.findings)):
            return self._told(first)
        self.watcher.retried(self.route.model.name, first.findings[0].kind.value)
        parts = self._smaller(source, whole, first, lost)
        strict = is_degenerate(first.findings)
        generation = stricter(self._generation) if strict else self._generation
        second = await self._attempt(source, parts, order, generation, retry=True)
        return self._told(_better(first, second))

    @property
    def _generation(self) -> GenerationOptions:
        return self.route.generation

    def _told(self, done: Done) -> Done:
        for finding in done.findings:
            self.watcher.found(self.route.model.name, finding.kind.value)
        return done

    def _smaller(
        self, source: str, whole: Planned, first: Done, lost: Sequence[Span]
    ) -> list[Planned]:
        """What a second attempt runs on: what was lost is set apart, what was cut comes in two."""
        if lost:
            return around(source, lost, self.route)
        tokens = len(whole.tokens or ())
        if not _is_cut(first) or tokens < MIN_SPLIT_TOKENS:
            return [whole]
        return plan_parts(source, whole.span, math.ceil(tokens / 2) + 1, self.route)

    async def _attempt(
        self,
        source: str,
        parts: Sequence[Planned],
        order: int,
        generation: GenerationOptions,
        *,
        retry: bool = False,
    ) -> Done:
        """Every part run, or copied, and put where it was."""
        running = [part for part in parts if part.tokens is not None]
        completions = await _all(
            [self._submit(part.tokens or (), order, generation, retry=retry) for part in running]
        )
        usage = Usage(retries=int(retry))
        for part, completion in zip(running, completions, strict=True):
            usage.count(completion, len(part.tokens or ()))
        outputs = dict(zip(map(id, running), completions, strict=True))
        texts = [_text(source, part, outputs.get(id(part)), self.route) for part in parts]
        text = joined(source, parts, texts)
        return self._judged(source, text, completions, usage)

    def _submit(
        self, tokens: Tokens, order: int, generation: GenerationOptions, *, retry: bool
    ) -> asyncio.Future[Completion]:
        if self.options.max_output_tokens is None:
            generation = limited(generation, len(tokens))
        return self.ticket.submit(
            self.route.model.lane,
            tokens,
            generation,
            order=order,
            cache_mode=self.options.cache_mode,
            deterministic=self.options.deterministic,
            retry=retry,
        )

    def _judged(
        self, source: str, text: str, completions: Sequence[Completion], usage: Usage
    ) -> Done:
        outputs = [completion.generation for completion in completions]
        cut = any(output.finish is Finish.LENGTH for output in outputs)
        tokens = sum(output.output_tokens for output in outputs)
        score = sum(output.score * output.output_tokens for output in outputs) / max(tokens, 1)
        found = judge_translation(
            source,
            text,
            cut=cut,
            source_language=self.route.source,
            target_language=self.route.target,
        )
        outcome = Outcome.TRUNCATED if cut else Outcome.TRANSLATED
        return Done(text, outcome, score, tuple(found), usage)


async def _all(submitted: Sequence[asyncio.Future[Completion]]) -> list[Completion]:
    """What became of each; the first failure is raised, and the others go on."""
    if len(submitted) == 1:  # nearly always: without the steps of the loop that gathering takes
        return [await submitted[0]]
    return await asyncio.gather(*submitted)


def _text(source: str, part: Planned, completion: Completion | None, route: Route) -> str:
    """What stands in the output for a part of a segment."""
    own = part.span.of(source)
    if completion is None:
        return as_copied(own, route)
    written = part.masked.restore(completion.generation.text.strip())
    return written if len(own) == len(source) else as_part(source, part.span, written)


def _is_cut(done: Done) -> bool:
    return done.outcome is Outcome.TRUNCATED


def _better(first: Done, second: Done) -> Done:
    """The one with less wrong with it, the first where they are equal; both are told."""
    usage = Usage.sum((first.usage, second.usage), 0.0)
    if severity(second.findings) >= severity(first.findings):
        return replace(first, usage=usage)
    return replace(second, findings=told(first.findings, second.findings), usage=usage)


def told(first: Sequence[Finding], second: Sequence[Finding]) -> tuple[Finding, ...]:
    """What is said of a second output: its findings, and which of the first one's it mended."""
    left = {finding.kind for finding in second}
    return (*second, *(finding.resolve() for finding in first if finding.kind not in left))
