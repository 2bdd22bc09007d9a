"""One passage on its way through scheduler, engine and guards."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from khulasa_server.engines.base import Finish
from khulasa_server.guards.judge import judge_summary, needs_retry, severity
from khulasa_server.tasks.levels import Run
from khulasa_server.tasks.segments import stricter, told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from khulasa_server.engines.base import GenerationOptions
    from khulasa_server.scheduling.ticket import Ticket
    from khulasa_server.tasks.levels import Task
    from khulasa_server.tasks.routing import Route
    from khulasa_server.tasks.values import Options, Usage
    from khulasa_server.tasks.watcher import Watcher


@dataclass(frozen=True, slots=True)
class PassageRunner:
    """Runs the passages of one request.

    Args:
        ticket: the request's.
        route: the model.
        options: the caller's.
        watcher: told retries.
        usage: where runs are counted.
    """

    ticket: Ticket
    route: Route
    options: Options
    watcher: Watcher
    usage: Usage

    async def run_all(self, tasks: Sequence[Task]) -> list[Run]:
        """Every passage's summary, in order."""
        return await asyncio.gather(*(self._run(task, i) for i, task in enumerate(tasks)))

    async def _run(self, task: Task, order: int) -> Run:
        first = await self._attempt(task, order, self.route.generation, retry=False)
        if not needs_retry(first.findings):
            return first
        self.watcher.retried(self.route.model.name, first.findings[0].kind.value)
        self.usage.retries += 1
        second = await self._attempt(task, order, stricter(self.route.generation), retry=True)
        if severity(second.findings) >= severity(first.findings):
            return first
        return replace(second, findings=told(first.findings, second.findings))

    async def _attempt(
        self, task: Task, order: int, generation: GenerationOptions, *, retry: bool
    ) -> Run:
        completion = await self.ticket.submit(
            self.route.model.lane,
            task.tokens,
            generation,
            order=order,
            cache_mode=self.options.cache_mode,
            deterministic=self.options.deterministic,
            retry=retry,
        )
        self.usage.count(completion, len(task.tokens))
        output = completion.generation
        cut = output.finish is Finish.LENGTH
        text = output.text.strip()
        findings = judge_summary(task.passage, text, cut=cut, language=self.route.source)
        return Run(text, output.score, tuple(findings), cut)
