"""Tasks with everything below them real, except the weights."""

from __future__ import annotations

import asyncio
import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pytest
import structlog

from khulasa_server.bundles import store
from khulasa_server.bundles.manifest import Generation, Limits, Manifest, Task
from khulasa_server.engines.scripted import Script, ScriptedEngine
from khulasa_server.scheduling import Scheduler, SchedulerSettings
from khulasa_server.tasks.catalog import Catalog, ModelState
from khulasa_server.tasks.desk import Desk
from khulasa_server.tasks.fleet import profile
from khulasa_server.tasks.offload import Offload
from khulasa_server.tasks.summarize import Summarizer
from khulasa_server.tasks.translate import Translator
from khulasa_server.tasks.values import Options, Strategy, SummarizeJob, TranslateJob

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, MutableMapping

    from khulasa_server.tasks.values import (
        StreamedSegment,
        StreamEnd,
        Summary,
        Translation,
        Usage,
    )

Result = TypeVar("Result")

SHAPES: Final = {
    Task.TRANSLATE: {
        "limits": Limits(max_input_tokens=512, segment_tokens=128, max_output_tokens=511),
        "generation": Generation(beam_size=4, max_output_tokens=255),
    },
    Task.SUMMARIZE: {
        "limits": Limits(max_input_tokens=128, segment_tokens=128, max_output_tokens=128),
        "generation": Generation(
            beam_size=4, max_output_tokens=83, length_penalty=0.6, no_repeat_ngram_size=3
        ),
    },
}
"""What tests count with, whatever the embedded models of the day have."""
MANIFESTS: Final = {
    bundle.manifest.task: bundle.manifest.model_copy(update=SHAPES[bundle.manifest.task])
    for bundle in store.embedded()
}


def manifest_of(task: Task = Task.TRANSLATE, **changes: Any) -> Manifest:  # noqa: ANN401 - any field
    """The embedded model's manifest of a task with some fields changed; dicts change a part."""
    manifest = MANIFESTS[task]
    for name, change in changes.items():
        if isinstance(change, dict) and name != "target_tokens":
            changes[name] = getattr(manifest, name).model_copy(update=change)
    return manifest.model_copy(update=changes)


@dataclass(repr=False)
class Watched:
    """What tasks told of what they saw."""

    findings: list[tuple[str, str]] = field(default_factory=list)
    retries: list[tuple[str, str]] = field(default_factory=list)

    def found(self, model: str, kind: str) -> None:
        """Keep a finding."""
        self.findings.append((model, kind))

    def retried(self, model: str, reason: str) -> None:
        """Keep a retry."""
        self.retries.append((model, reason))


@dataclass(repr=False)
class Office:
    """A translator and a summarizer over scripted engines, on an event loop of their own."""

    runner: asyncio.Runner
    desk: Desk
    engines: dict[str, ScriptedEngine]
    watched: Watched

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run to the end."""
        return self.runner.run(work)

    @property
    def translator(self) -> Translator:
        """The task."""
        return Translator(self.desk)

    def translate(
        self,
        *contents: str,
        lenient: bool = True,
        source: str = "ar",
        target: str = "en",
        **options: Any,  # noqa: ANN401 - of Options
    ) -> tuple[list[Translation], Usage]:
        """All contents."""
        job = TranslateJob(
            contents, source, target, Options(**options), time.monotonic() + 60, lenient=lenient
        )
        return self.run(self.translator.translate(job))

    def stream(self, text: str, **options: Any) -> list[StreamedSegment | StreamEnd]:  # noqa: ANN401 - of Options
        """All events of a stream."""
        job = TranslateJob(
            (text,), "ar", "en", Options(**options), time.monotonic() + 60, lenient=True
        )
        return self.run(_listed(self.translator.stream(job)))

    def summarize(
        self,
        text: str,
        *,
        language: str = "",
        to: str = "",
        strategy: Strategy = Strategy.LEAD,
        lenient: bool = False,
        translation_model: str = "",
        **options: Any,  # noqa: ANN401 - of Options
    ) -> tuple[Summary, Usage]:
        """One text."""
        job = SummarizeJob(
            text=text,
            language_code=language,
            target_language_code=to,
            strategy=strategy,
            options=Options(**options),
            deadline=time.monotonic() + 60,
            translation_model=translation_model,
            lenient=lenient,
        )
        return self.run(Summarizer(self.desk, self.translator).summarize(job))


async def _listed(events: AsyncGenerator[Result, None]) -> list[Result]:
    return [event async for event in events]


@contextmanager
def opened(
    *manifests: Manifest,
    slots: int = 2,
    cache_bytes: int = 0,
    **script: Any,  # noqa: ANN401 - of a Script
) -> Iterator[Office]:
    """An office with these models, or the embedded ones; all engines follow one script."""
    with (
        ThreadPoolExecutor(slots) as engines,
        ThreadPoolExecutor(1) as texts,
        asyncio.Runner() as runner,
    ):
        catalog, watched = Catalog(), Watched()
        scheduler = Scheduler(
            SchedulerSettings(slots=slots, cache_bytes=cache_bytes),
            executor=engines,
            rng=random.Random(7),  # noqa: S311 - spreads retries
        )
        loaded = {}
        for manifest in manifests or MANIFESTS.values():
            model = catalog.add(manifest)
            model.engine = loaded[manifest.name] = ScriptedEngine(manifest, Script(**script))
            model.state = ModelState.READY
            scheduler.add_model(manifest.name, model.engine, profile(model))
        desk = Desk(catalog, scheduler, Offload(texts), watched, time.monotonic)
        yield Office(runner, desk, loaded, watched)
        runner.run(scheduler.close())


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """What is logged, instead of a tracer's drawings on standard output."""
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    """Embedded models without weights."""
    with opened() as office:
        yield office


@pytest.fixture(scope="module")
def unruly() -> Iterator[Office]:
    """The same with engines that loop until they are cut, or say nothing, at certain letters."""
    with opened(silent=frozenset("ب"), looping=frozenset("ج"), stubborn=frozenset("ه")) as office:
        yield office


@pytest.fixture
def make_office() -> Iterator[Callable[..., Office]]:
    """Makes offices with models and scripts of one's own."""
    with ExitStack() as stack:
        yield lambda *manifests, **script: stack.enter_context(opened(*manifests, **script))


@pytest.fixture(scope="session")
def make_manifest() -> Callable[..., Manifest]:
    """Makes manifests of any shape."""
    return manifest_of
