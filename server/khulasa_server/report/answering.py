"""Answers of bundles to texts, made in this process as a server would make them."""

from __future__ import annotations

import asyncio
import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from khulasa_server import __version__
from khulasa_server.bundles.manifest import Task
from khulasa_server.engines.plan import plan_threads
from khulasa_server.engines.threads import usable_cores
from khulasa_server.errors import ServiceError
from khulasa_server.guards.findings import Kind
from khulasa_server.observability.metrics import Metrics
from khulasa_server.report.errors import ReportError
from khulasa_server.scheduling import Scheduler, SchedulerSettings
from khulasa_server.tasks.catalog import Catalog, ModelState
from khulasa_server.tasks.desk import Desk
from khulasa_server.tasks.fleet import Fleet, LoadOptions
from khulasa_server.tasks.offload import Offload
from khulasa_server.tasks.segments import in_order
from khulasa_server.tasks.summarize import Summarizer
from khulasa_server.tasks.translate import Translator
from khulasa_server.tasks.values import Options, Strategy, SummarizeJob, TranslateJob

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from khulasa_server.bundles.store import Bundle
    from khulasa_server.report.texts import Text
    from khulasa_server.tasks.values import Summary, Translation

AT_ONCE: Final = 16
"""Texts in work side by side, so that batches fill."""
DEADLINE_SECONDS: Final = 24 * 3600.0
"""Nobody waits for one answer of a report, so only what hangs is late."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What to do with every text.

    Args:
        tasks: one answer a task.
        source: language of the texts; empty: Arabic to translate, by script to summarize.
        target: language to translate to, summaries too; empty: English, and summaries as they are.
        strategy: for texts longer than a summarizer's window.
    """

    tasks: tuple[Task, ...]
    source: str = ""
    target: str = ""
    strategy: Strategy = Strategy.LEAD


@dataclass(frozen=True, slots=True)
class Answered:
    """A text with its answers in the order of the tasks; an error where one was refused."""

    text: Text
    answers: tuple[Translation | Summary | ServiceError, ...]


async def answer(
    bundles: Sequence[Bundle],
    texts: Sequence[Text],
    wishes: Wishes,
    done: Callable[[int], None] = lambda _: None,
) -> list[Answered]:
    """Load the bundles, answer every text, free the bundles; `done` is told each text answered.

    Raises:
        ReportError: a bundle is not what was built, or cannot be loaded.
    """
    answered = []
    async with _opened(bundles) as desk:
        works = (_answered(desk, text, wishes) for text in texts)
        async with aclosing(in_order(works, at_once=AT_ONCE)) as results:
            async for result in results:
                answered.append(result)
                done(1)
    return answered


@asynccontextmanager
async def _opened(bundles: Sequence[Bundle]) -> AsyncIterator[Desk]:
    plan = plan_threads("auto", usable_cores())
    with ThreadPoolExecutor(plan.workers) as engines, ThreadPoolExecutor(1) as splitters:
        metrics, catalog = Metrics(__version__, finding_kinds=Kind), Catalog()
        rng = random.Random()  # noqa: S311 - spreads retries, guards nothing
        settings = SchedulerSettings(slots=plan.workers)
        scheduler = Scheduler(settings, executor=engines, rng=rng, observer=metrics)
        options = LoadOptions("ctranslate2", plan, "tolerant", engines)
        fleet = Fleet(catalog, scheduler, metrics, options, _unheeded)
        try:
            await _load(fleet, bundles)
            yield Desk(catalog, scheduler, Offload(splitters), metrics, time.monotonic)
        finally:
            await scheduler.close()
            await fleet.close()


async def _unheeded() -> None:
    """Nobody looks at the health of a report."""
    await asyncio.sleep(0)


async def _load(fleet: Fleet, bundles: Sequence[Bundle]) -> None:
    try:
        fleet.register(bundles)
    except ValueError as error:
        raise ReportError(str(error)) from error
    await fleet.load_all(bundles)
    for model in fleet.catalog:
        if model.state is not ModelState.READY:
            raise ReportError(f"{model.name} cannot serve: {model.detail}")


async def _answered(desk: Desk, text: Text, wishes: Wishes) -> Answered:
    answers = [await _answer(desk, text.content, task, wishes) for task in wishes.tasks]
    return Answered(text, tuple(answers))


async def _answer(
    desk: Desk, text: str, task: Task, wishes: Wishes
) -> Translation | Summary | ServiceError:
    deadline = desk.clock() + DEADLINE_SECONDS
    options = Options(patient=True)
    translator = Translator(desk)
    try:
        if task is Task.TRANSLATE:
            source, target = wishes.source or "ar", wishes.target or "en"
            job = TranslateJob((text,), source, target, options, deadline, lenient=True)
            (translation,), _ = await translator.translate(job)
            return translation
        summarize = SummarizeJob(
            text, wishes.source, wishes.target, wishes.strategy, options, deadline, lenient=True
        )
        summary, _ = await Summarizer(desk, translator).summarize(summarize)
    except ServiceError as error:
        return error
    return summary
