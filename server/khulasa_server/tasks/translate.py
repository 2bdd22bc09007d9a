"""Translation: plan segments, run them, put the answer together."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from khulasa_server.tasks.admission import admitted
from khulasa_server.tasks.drafts import Draft
from khulasa_server.tasks.languages import require_language
from khulasa_server.tasks.planning import plan
from khulasa_server.tasks.routing import Route, route_translation
from khulasa_server.tasks.segments import SegmentRunner, in_order
from khulasa_server.tasks.values import StreamedSegment, StreamEnd, Translation, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from khulasa_server.scheduling.ticket import Ticket
    from khulasa_server.tasks.desk import Desk
    from khulasa_server.tasks.values import Options, TranslateJob


class Translator:
    """Translates texts segment by segment."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def translate(self, job: TranslateJob) -> tuple[list[Translation], Usage]:
        """Every content translated, aligned with `job.contents`, and the usage of all.

        Raises:
            ServiceError: the job as a whole is refused or fails; there are no partial answers.
        """
        started = self._desk.clock()
        route = self._routed(job)
        with await self._admitted(route, job) as ticket:
            translations = await self.run(ticket, route, job.contents, job.options)
        usages = (translation.usage for translation in translations)
        return translations, Usage.sum(usages, self._desk.clock() - started)

    async def stream(self, job: TranslateJob) -> AsyncGenerator[StreamedSegment | StreamEnd, None]:
        """The one content's segments in order, each as soon as it is done, then the end."""
        started = self._desk.clock()
        (text,) = job.contents
        route = self._routed(job)
        with await self._admitted(route, job) as ticket:
            draft = await self._draft(text, route)
            runner = SegmentRunner(ticket, route, job.options, self._desk.watcher)
            async with aclosing(in_order(runner.jobs(text, draft.planned))) as results:
                async for done in results:
                    yield draft.add(done)
        yield StreamEnd(draft.finish(self._desk.clock() - started))

    async def run(
        self, ticket: Ticket, route: Route, texts: Sequence[str], options: Options
    ) -> list[Translation]:
        """Translate texts as part of work that was admitted already."""
        started = self._desk.clock()
        drafts = [await self._draft(text, route) for text in texts]
        runner = SegmentRunner(ticket, route, options, self._desk.watcher)
        pieces = [(draft, piece) for draft in drafts for piece in draft.planned]
        jobs = (runner.run(draft.text, piece, i) for i, (draft, piece) in enumerate(pieces))
        async with aclosing(in_order(jobs)) as results:
            for draft, _ in pieces:
                draft.add(await anext(results))
        seconds = self._desk.clock() - started
        return [draft.finish(seconds) for draft in drafts]

    def _routed(self, job: TranslateJob) -> Route:
        source, target = job.source_language_code, job.target_language_code
        route = route_translation(self._desk.catalog, source, target, job.options)
        if not job.lenient:
            require_language(job.contents, route.source, "contents")
        return route

    async def _admitted(self, route: Route, job: TranslateJob) -> Ticket:
        stages = [route.stage(sum(map(len, job.contents)), job.options)]
        return await admitted(self._desk.scheduler, stages, job.options, job.deadline)

    async def _draft(self, text: str, route: Route) -> Draft:
        started = self._desk.clock()
        planned = await self._desk.offload.over(len(text), plan, text, route)
        return Draft(text, planned, route, self._desk.clock() - started)
