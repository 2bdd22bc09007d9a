"""Summarization: what is read, in how many runs, and what the answer rests on."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from khulasa_server.guards.evidence import evidence_for, find_unsupported_sentences
from khulasa_server.guards.findings import Finding, Kind
from khulasa_server.guards.judge import judge_summary
from khulasa_server.guards.language import doubt_language
from khulasa_server.tasks.admission import admitted
from khulasa_server.tasks.catalog import ONWARD_FIELDS
from khulasa_server.tasks.languages import language_of, require_language
from khulasa_server.tasks.levels import Levels
from khulasa_server.tasks.passages import PassageRunner
from khulasa_server.tasks.reading import read
from khulasa_server.tasks.routing import Route, route_summary, route_translation
from khulasa_server.tasks.values import Chunk, Options, Strategy, Summary, Usage
from khulasa_server.text.scripts import dominant_script, is_translatable
from khulasa_server.text.segmentation import split
from khulasa_server.text.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from khulasa_server.guards.evidence import Evidence
    from khulasa_server.scheduling.ticket import Ticket
    from khulasa_server.scheduling.types import Stage
    from khulasa_server.tasks.desk import Desk
    from khulasa_server.tasks.reading import Reading
    from khulasa_server.tasks.translate import Translator
    from khulasa_server.tasks.values import SummarizeJob, Translation

CODE_POINTS_PER_TOKEN = 4.0
"""Of Arabic news, rounded up: on PUD 3.0 and 3.2 with the embedded tokenizers, 3.8 with that of
opus-mt-ar-en. Other alphabets are about as dense."""
DENSE_CODE_POINTS_PER_TOKEN = 1.5
"""The same of scripts whose signs are syllables or words, which a window holds fewer of."""
DENSE_SCRIPTS = frozenset(
    {"Han", "Hiragana", "Katakana", "Hangul", "Thai", "Lao", "Khmer", "Myanmar"}
)
_SAMPLE = 1_000
"""Code points that the script is told by."""


class Summarizer:
    """Summarizes texts, and hands the summary to the translator where asked to."""

    def __init__(self, desk: Desk, translator: Translator) -> None:
        self._desk = desk
        self._translator = translator

    async def summarize(self, job: SummarizeJob) -> tuple[Summary, Usage]:
        """The summary, with its translation where asked for, and the usage of both.

        Raises:
            ServiceError: the job as a whole is refused or fails; there are no partial answers.
        """
        started = self._desk.clock()
        route = self._routed(job)
        onward = self._onward(job, route)
        stages = list(_stages(job, route, onward))
        with await admitted(self._desk.scheduler, stages, job.options, job.deadline) as ticket:
            summary = await self._summary(ticket, job, route)
            usages = [summary.usage]
            if onward is not None:
                translation = await self._translated(ticket, summary.text, onward, job)
                summary = replace(summary, translation=translation)
                usages.append(translation.usage)
        usage = Usage.sum(usages, self._desk.clock() - started)
        usage.code_points = len(job.text)
        return summary, usage

    def _routed(self, job: SummarizeJob) -> Route:
        catalog = self._desk.catalog
        language = job.language_code or language_of(job.text, catalog, lenient=job.lenient)
        route = route_summary(catalog, language, job.options)
        if not job.lenient:
            require_language([job.text], route.source, "text")
        return route

    def _onward(self, job: SummarizeJob, route: Route) -> Route | None:
        if not job.target_language_code:
            return None
        options = _onward_options(job)
        target = job.target_language_code
        return route_translation(self._desk.catalog, route.source, target, options, ONWARD_FIELDS)

    async def _translated(
        self, ticket: Ticket, text: str, onward: Route, job: SummarizeJob
    ) -> Translation:
        (translation,) = await self._translator.run(ticket, onward, [text], _onward_options(job))
        return translation

    async def _summary(self, ticket: Ticket, job: SummarizeJob, route: Route) -> Summary:
        started = self._desk.clock()
        over = self._desk.offload.over
        if not is_translatable(job.text, route.source):
            usage = Usage(code_points=len(job.text), segments=1)
            summary = await over(len(job.text), _as_it_is, job, route, usage)
            usage.total = self._desk.clock() - started
            return summary
        reading = await over(len(job.text), read, job.text, route, job.strategy)
        usage = Usage(code_points=len(job.text), tokenization=self._desk.clock() - started)
        levels = Levels(job.text, reading, route)
        runner = PassageRunner(ticket, route, job.options, self._desk.watcher, usage)
        while levels.waiting:
            usage.segments += len(levels.waiting)
            runs = await runner.run_all(levels.waiting)
            await over(sum(len(run.text) for run in runs), levels.done, runs)
        summary = await over(len(job.text), _finished, job, route, reading, levels)
        usage.total = self._desk.clock() - started
        for finding in summary.findings:
            self._desk.watcher.found(route.model.name, finding.kind.value)
        return replace(summary, usage=usage)


def _onward_options(job: SummarizeJob) -> Options:
    """Options of a summary's translation: beams and lengths were meant for the summary."""
    return replace(job.options, model=job.translation_model, beam_size=None, max_output_tokens=None)


def _stages(job: SummarizeJob, route: Route, onward: Route | None) -> Iterator[Stage]:
    """All the work of a job, estimated from its code points before anything is read."""
    is_dense = dominant_script(job.text[:_SAMPLE]) in DENSE_SCRIPTS
    density = DENSE_CODE_POINTS_PER_TOKEN if is_dense else CODE_POINTS_PER_TOKEN
    window = int(route.manifest.limits.max_input_tokens * density)
    written = int(route.generation.max_output_tokens * density)
    left = len(job.text)
    if job.strategy is Strategy.LEAD:
        left = min(left, window)
    yield route.stage(left, job.options)
    while left > window:
        below, left = left, math.ceil(left / window) * written
        if left >= below:
            break
        yield route.stage(left, job.options)
    if onward is not None:
        yield onward.stage(written, job.options)


def _finished(job: SummarizeJob, route: Route, reading: Reading, levels: Levels) -> Summary:
    text = levels.text
    if reading.coverage == 1 and len(text) >= len(job.text.strip()):
        return _already_short(_as_it_is(job, route, Usage()), levels)
    evidence = _evidence(text, job.text, route.source)
    return Summary(
        text=text,
        translation=None,
        coverage=reading.coverage,
        strategy=job.strategy,
        chunks=tuple(levels.chunks),
        evidence=evidence,
        findings=(
            *_findings(job, route, reading, levels),
            *find_unsupported_sentences(text, evidence),
        ),
        score=levels.last[0].score if len(levels.last) == 1 else None,
        model=route.ref,
        usage=Usage(),
        language_code=route.source,
    )


def _as_it_is(job: SummarizeJob, route: Route, usage: Usage) -> Summary:
    """The answer to a text with nothing to summarize: the text."""
    whole = Span(0, len(job.text))
    return Summary(
        text=job.text,
        translation=None,
        coverage=1.0,
        strategy=job.strategy,
        chunks=(Chunk(whole, 0, job.text),),
        evidence=_evidence(job.text, job.text, route.source),
        findings=(),
        score=None,
        model=route.ref,
        usage=usage,
        language_code=route.source,
    )


def _already_short(summary: Summary, levels: Levels) -> Summary:
    finding = Finding(
        Kind.ALREADY_SHORT,
        source=Span(0, len(summary.text)),
        target=Span(0, len(summary.text)),
        detail=f"the summary would have {len(levels.text)} code points; the text is given back",
    )
    return replace(summary, findings=(finding,))


def _findings(
    job: SummarizeJob, route: Route, reading: Reading, levels: Levels
) -> Iterator[Finding]:
    yield from doubt_language(job.text, route.source)
    cut = any(run.truncated for run in levels.last)
    yield from judge_summary(job.text, levels.text, cut=cut, language=route.source)
    yield from levels.mended
    if reading.coverage < 1:
        read_until = reading.passages[-1].span.end
        yield Finding(
            Kind.PARTIAL_COVERAGE,
            source=Span(read_until, len(job.text)),
            target=None,
            detail=f"{reading.coverage:.0%} of the text was read; the window ends here",
        )


def _evidence(summary: str, text: str, language: str) -> tuple[Evidence, ...]:
    sentences, all_sentences = split(summary, language), split(text, language)
    return tuple(evidence_for(summary, sentences, text, all_sentences, language))
