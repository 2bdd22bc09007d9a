"""Four verbs: startup, serve, drain, stop. Signal handlers only set flags."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from khulasa_server import __version__
from khulasa_server.bundles import store
from khulasa_server.bundles.errors import BundleError
from khulasa_server.engines import memory
from khulasa_server.engines.plan import plan_threads
from khulasa_server.engines.threads import usable_cores, wake_patiently
from khulasa_server.guards.findings import Kind
from khulasa_server.observability.http import HttpPort, Readiness, split_address
from khulasa_server.observability.logs import handle_loop_exception, logger
from khulasa_server.observability.metrics import Metrics
from khulasa_server.observability.tracing import Tracing
from khulasa_server.rpc import models, summarization, translation
from khulasa_server.rpc.handlers import Gate
from khulasa_server.rpc.health import HealthBoard, full_names
from khulasa_server.rpc.port import Registered, bind_server, build_server
from khulasa_server.rpc.requests import Bounds
from khulasa_server.rpc.security import Security
from khulasa_server.rpc.tracing_interceptor import TracingInterceptor
from khulasa_server.scheduling import Scheduler, SchedulerSettings
from khulasa_server.tasks.catalog import Catalog, ModelState
from khulasa_server.tasks.desk import Desk
from khulasa_server.tasks.fleet import Fleet, LoadOptions
from khulasa_server.tasks.offload import Offload
from khulasa_server.tasks.reloads import Reloads
from khulasa_server.tasks.replacing import Replacing
from khulasa_server.tasks.summarize import Summarizer
from khulasa_server.tasks.translate import Translator
from khulasa_server.tasks.tuning import Tuner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator

    from khulasa_server.bundles.store import Bundle
    from khulasa_server.config import Settings

log = logger(__name__)

TEXT_THREADS: Final = 2
"""For splitting long texts; it holds the interpreter's lock, so more would not be faster."""
IDLE_SECONDS: Final = 1.0
"""Without a call in flight, after which a drain waits no longer."""
FAREWELL_SECONDS: Final = 2.0
"""Before the end of the grace; enough to say SHUTTING_DOWN to all calls that are left."""
STUCK_SECONDS: Final = 5.0
"""That what runs in an engine may take to end; in it with ease fit the longest single inputs."""
STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
RELOAD_SIGNAL: Final = signal.SIGHUP


class Server:
    """One process of khulasa, made and run on one event loop.

    Args:
        settings: what the operator chose.

    Raises:
        ValueError: a setting, which the message names, contradicts another one or this machine.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clock = time.monotonic
        for name in ("listen", "metrics_listen"):
            with _naming(name):
                split_address(getattr(settings, name))
        with _naming("models"):
            self._bundles = _configured(settings)
        with _naming("required_services"):
            required = full_names(settings.required_services)
        self._plan = plan_threads(settings.threads, usable_cores())
        memory.share_heaps(self._plan.slots)
        wake_patiently()
        self._stopping = asyncio.Event()
        self._forced = asyncio.Event()
        self.catalog = Catalog()
        self.metrics = Metrics(__version__, finding_kinds=Kind)
        self.board = HealthBoard(self.catalog, required)
        self.grpc_address = ""
        """Dialable `host:port`, once bound."""
        self.metrics_address = ""
        """Dialable `host:port`, once bound."""
        self.stuck = False
        """An engine did not end with the server: its thread keeps the process alive."""
        self._engines = ThreadPoolExecutor(self._plan.slots, thread_name_prefix="engine")
        self._texts = ThreadPoolExecutor(TEXT_THREADS, thread_name_prefix="text")
        self.scheduler = self._make_scheduler()
        self._fleet = self._make_fleet()
        # From the first call on they are known, and not ready.
        with _naming("models"):
            self._fleet.register(self._bundles)
        self._tuner = Tuner(self._fleet, settings.calibration_file)
        self._replacing = Replacing(self._fleet, self._untuned)
        self._reloads = Reloads(self.catalog, self._replacing, self._bundles)
        self._gate = Gate(_bounds(settings), self._clock, asyncio.Event())
        self._security = Security(settings, self.metrics.certificate_expires)
        endpoint = settings.otlp_endpoint
        self._tracing = Tracing(endpoint, __version__) if endpoint else None
        traced = [TracingInterceptor(self._tracing)] if self._tracing else []
        self._grpc = build_server(
            settings,
            self._services(),
            self.board,
            self.metrics.grpc,
            self._clock,
            guards=[*traced, *self._security.interceptors()],
        )
        self._http = HttpPort(self.metrics, self._readiness)
        self._background: set[asyncio.Task[None]] = set()
        self._keeping: asyncio.Task[None] | None = None
        self._reloading: asyncio.Task[None] | None = None
        self._tuning: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Start, serve until a signal or `request_stop`, drain, stop."""
        with self._signals():
            try:
                await self.startup()
                memory.collect_rarely()
                await self.serve()
                await self.drain()
            finally:
                await self.stop()

    async def startup(self) -> None:
        """Bind both ports, then load the models; says on stdout where it listens.

        Raises:
            OSError: a port is taken; the message names the address.
        """
        asyncio.get_running_loop().set_exception_handler(handle_loop_exception)
        await self.board.refresh()
        credentials = self._security.credentials()
        self.grpc_address = _joined(bind_server(self._grpc, self._settings.listen, credentials))
        self.metrics_address = _joined(await self._http.start(self._settings.metrics_listen))
        await self._grpc.start()
        self._keeping = asyncio.create_task(self._security.keep_fresh())
        log.info("threads_chosen", **asdict(self._plan))
        loading = asyncio.ensure_future(self._fleet.load_all(self._bundles))
        await _first(loading, self._stopping)
        if not self._stopping.is_set():
            self._announce()
            self._tune()
            self._reloading = asyncio.create_task(self._reloads.run())

    def _tune(self) -> None:
        """Look for better threads where they were not set, and where there is a choice."""
        if self._plan.chosen and self._plan.slots > 1 and self._settings.engine == "ctranslate2":
            self._tuning = asyncio.create_task(self._tuner.tune())

    @asynccontextmanager
    async def _untuned(self) -> AsyncIterator[None]:
        """No engine is measured or exchanged inside."""
        if self._tuning is not None:
            self._tuning.cancel()
            await asyncio.wait([self._tuning])
        try:
            yield
        finally:
            if not self._stopping.is_set():
                self._tune()

    async def serve(self) -> None:
        """Wait to be told to stop."""
        await self._stopping.wait()

    async def drain(self) -> None:
        """Say so, wait until balancers have seen it, then let calls in flight end.

        A second signal cuts both short.
        """
        log.info("draining", delay=self._settings.drain_delay, grace=self._settings.drain_grace)
        if self._tuning is not None:
            self._tuning.cancel()
        await self.board.drain()
        await _first(asyncio.ensure_future(asyncio.sleep(self._settings.drain_delay)), self._forced)
        self._gate.draining.set()
        self._replacing.stop()
        self.scheduler.begin_drain()
        for model in self.catalog:
            if model.state is ModelState.READY:
                model.state = ModelState.DRAINING
        await self._end_calls()

    async def _end_calls(self) -> None:
        """Take no more connections; answer what has not ended when the grace nearly has."""
        self.board.release()
        grace = self._settings.drain_grace
        farewell = min(FAREWELL_SECONDS, grace / 2)
        stopping = asyncio.ensure_future(self._grpc.stop(grace))
        # A stream that arrived with the shutdown may never reach a handler, and gRPC would wait
        # its whole grace for it: nothing is left to wait for once no handler runs.
        idle = asyncio.ensure_future(self._gate.ending.idle(IDLE_SECONDS))
        waiting = _any({stopping, idle}, grace - farewell)
        await _first(asyncio.ensure_future(waiting), self._forced)
        idle.cancel()
        self._gate.ending.now()
        await self._grpc.stop(farewell if self._gate.ending.calls else 0)
        await stopping

    async def stop(self) -> None:
        """Free everything; what still runs in an engine ends first, since it cannot be cut.

        An engine that hangs is left behind: `stuck` tells, and only the end of the process ends it.
        """
        await self._grpc.stop(0)
        for task in (self._keeping, self._tuning):
            if task is not None:
                task.cancel()
                await asyncio.wait([task], timeout=STUCK_SECONDS)
        self._replacing.stop()
        await self._end_engines()
        await self._http.close()
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)
        self._engines.shutdown(wait=not self.stuck)
        self._texts.shutdown()
        log.info("stopped")

    async def _end_engines(self) -> None:
        try:
            async with asyncio.timeout(STUCK_SECONDS):
                await self.scheduler.close()
        except TimeoutError:
            self.stuck = True
            running = [
                name for name, lane in self.scheduler.statistics().lanes.items() if lane.running
            ]
            log.error("engine_stuck", models=running, waited=STUCK_SECONDS)  # noqa: TRY400 - said whole
        else:
            await self._end_reloads()
            await self._fleet.close()

    async def _end_reloads(self) -> None:
        if self._reloading is not None:
            self._reloads.ask()  # to see that it is over
            await self._reloading
        await self._replacing.close()

    def request_stop(self) -> None:
        """Begin to drain; the second time, stop waiting for calls in flight."""
        (self._forced if self._stopping.is_set() else self._stopping).set()

    def request_reload(self) -> None:
        """Take over bundles, certificates and tokens that were replaced on disk, unless stopping.

        What is asked for during a reload is done after it, once.
        """
        if self._stopping.is_set():
            log.info("reload_ignored", why="the server is stopping")
            return
        log.info("reload_requested")
        self._reloads.ask()
        self._spawn(asyncio.to_thread(self._security.refresh))

    def _make_scheduler(self) -> Scheduler:
        settings = self._settings
        scheduler = Scheduler(
            SchedulerSettings(
                slots=self._plan.slots,
                queue_seconds=settings.queue_seconds,
                bulk_queue_seconds=settings.bulk_queue_seconds,
                cache_bytes=settings.cache_bytes,
                stall_seconds=settings.stall_seconds,
            ),
            executor=self._engines,
            rng=random.Random(),  # noqa: S311 - spreads retries, guards nothing
            clock=self._clock,
            observer=self.metrics,
            on_health=self._model_health,
        )
        self.metrics.watch(lambda: scheduler.statistics().lanes)
        return scheduler

    def _make_fleet(self) -> Fleet:
        settings = self._settings
        options = LoadOptions(settings.engine, self._plan, settings.canary, self._engines)
        return Fleet(self.catalog, self.scheduler, self.metrics, options, self.board.refresh)

    def _services(self) -> list[Registered]:
        desk = Desk(self.catalog, self.scheduler, Offload(self._texts), self.metrics, self._clock)
        translator = Translator(desk)
        translate = translation.TranslationServicer(translator, self._gate)
        summarize = summarization.SummarizationServicer(Summarizer(desk, translator), self._gate)
        describe = models.ModelServicer(self.catalog, self._settings, self._gate)
        return [
            Registered(translation.SERVICE, translate.handlers()),
            Registered(summarization.SERVICE, summarize.handlers()),
            Registered(models.SERVICE, describe.handlers()),
        ]

    def _readiness(self) -> Readiness:
        return Readiness(self.board.ready(), self.board.waiting_for())

    def _model_health(self, name: str, serving: bool) -> None:  # noqa: FBT001 - the scheduler's shape
        self._spawn(self._fleet.set_health(name, serving=serving))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _announce(self) -> None:
        line = {
            "event": "serving",
            "grpc": self.grpc_address,
            "metrics": self.metrics_address,
            "ready": self.board.ready(),
            "models": {model.name: model.state.value for model in self.catalog},
            "version": __version__,
        }
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        # Through the loop: a handler of Python's own may run late, when the next event wakes it.
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self.request_stop)
        loop.add_signal_handler(RELOAD_SIGNAL, self.request_reload)
        try:
            yield
        finally:
            for number in (*STOP_SIGNALS, RELOAD_SIGNAL):
                loop.remove_signal_handler(number)


@contextmanager
def _naming(setting: str) -> Iterator[None]:
    """Turn what is wrong inside into an error that names the setting."""
    try:
        yield
    except (ValueError, BundleError) as error:
        raise ValueError(f"KHULASA_{setting.upper()}: {error}") from error


def _configured(settings: Settings) -> list[Bundle]:
    """The bundles to serve; their files are checked when they are loaded."""
    if not settings.models:
        return store.embedded()
    return [store.load(store.resolve(name)) for name in settings.models]


def _bounds(settings: Settings) -> Bounds:
    return Bounds(
        max_code_points=settings.max_code_points,
        max_request_code_points=settings.max_request_code_points,
        max_contents=settings.max_contents,
        default_deadline=settings.default_deadline,
        max_deadline=settings.max_deadline,
        max_message_bytes=settings.max_message_bytes,
    )


def _joined(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _any(works: set[asyncio.Future[None]], seconds: float) -> None:
    """Wait until one of them is done, though not for ever; the others go on."""
    await asyncio.wait(works, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)


async def _first(work: asyncio.Future[None], flag: asyncio.Event) -> None:
    """Wait for the work, or for a flag that makes it pointless; its failure is raised."""
    waiting = asyncio.ensure_future(flag.wait())
    both: tuple[asyncio.Future[Any], ...] = (work, waiting)
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
    finally:
        for future in both:
            future.cancel()
        await asyncio.gather(*both, return_exceptions=True)
