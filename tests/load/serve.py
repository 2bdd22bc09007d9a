"""The product's server with something measured from inside, or one part exchanged.

Nothing of this can be switched in production: it is done here, from outside, to the modules of a
process that exists for a measurement only.

- `--unguarded`: the guards find nothing. Models with random weights loop and never stop, so every
  answer would be computed twice.
- `--fifo`: batches are formed in the order of arrival, at the same token budget; for comparison.
- `--batch-seconds`: another bound of a batch's predicted run time.
- `--log-batches`: what the engines ran, item by item, goes into the record.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.load.fifo import FifoQueue, take_in_order, widest

from khulasa_server import server as server_module
from khulasa_server.config import Settings
from khulasa_server.observability import logs
from khulasa_server.rpc import port
from khulasa_server.rpc.metrics_interceptor import MetricsInterceptor
from khulasa_server.rpc.wrapping import wrap
from khulasa_server.scheduling import dispatch, lane, scheduler, worker
from khulasa_server.scheduling.types import SchedulerSettings
from khulasa_server.scheduling.work import Batch
from khulasa_server.server import Server
from khulasa_server.tasks import passages, segments, summarize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import grpc

    from khulasa_server.rpc.wrapping import Behaviour, Context, Continuation, Handler
    from khulasa_server.scheduling.core import Work
    from khulasa_server.scheduling.worker import LoadedModel, Ran

GUARDS: Final = (
    (segments, "judge_translation"),
    (passages, "judge_summary"),
    (summarize, "judge_summary"),
)

refusals: list[tuple[str, float]] = []
"""Code and seconds from a handler's start to its status, of every call that failed."""
batches: list[dict[str, Any]] = []
"""Model, options, inputs and seconds of every batch."""


class RefusalClock(MetricsInterceptor):
    """Also keeps how long each failed call took, on the server's clock."""

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """As the product's, with a clock around it."""
        handler = await super().intercept_service(continuation, handler_call_details)
        return None if handler is None else wrap(handler, _timed)


async def _timed(inner: Behaviour, request: object, context: Context) -> object:
    started = time.perf_counter()
    try:
        return await inner(request, context)
    finally:
        code: Any = context.code()
        if code:
            name = getattr(code, "name", str(code))
            refusals.append((name, time.perf_counter() - started))


def _logged(run: Callable[..., Ran]) -> Callable[..., Ran]:
    def run_and_log(work: Work, model: LoadedModel, clock: Callable[[], float]) -> Ran:
        ran = run(work, model, clock)
        if isinstance(work, Batch):
            entry = {"model": work.model, "options": asdict(work.options), "rows": work.inputs}
            batches.append({**entry, "seconds": ran.seconds, "started": work.started_at})
        return ran

    return run_and_log


class MeasuredServer(Server):
    """Writes its record before it drains, while the models are still there.

    Args:
        settings: of the server.
        record: file to write.
    """

    def __init__(self, settings: Settings, record: Path) -> None:
        super().__init__(settings)
        self._record = record

    async def drain(self) -> None:
        """Write the record, then do as the product."""
        lanes = self.scheduler.statistics().lanes
        coefficients = {name: asdict(each.coefficients) for name, each in lanes.items()}
        recorded = {"refusals": refusals, "batches": batches, "coefficients": coefficients}
        self._record.write_text(json.dumps(recorded), "utf-8")
        await super().drain()


def _find_nothing(*_texts: str, **_facts: object) -> list[object]:
    return []


Exchange = tuple[object, str, object]
"""Where a name is looked up, the name, and what stands there instead."""


def exchanges(arguments: argparse.Namespace) -> Iterator[Exchange]:
    """What the flags ask for."""
    yield port, "MetricsInterceptor", RefusalClock
    if arguments.unguarded:
        yield from ((module, name, _find_nothing) for module, name in GUARDS)
    if arguments.fifo:
        yield lane, "SegmentQueue", FifoQueue
        yield dispatch, "take_batch", take_in_order
        yield Batch, "options", property(lambda batch: widest(batch.items))
    if arguments.log_batches:
        yield scheduler, "run", _logged(worker.run)
    if arguments.batch_seconds:
        seconds = arguments.batch_seconds
        bound = partial(SchedulerSettings, batch_seconds=seconds, bulk_batch_seconds=seconds)
        yield server_module, "SchedulerSettings", bound


def parse() -> argparse.Namespace:
    """Flags; the server's own settings come from the environment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--unguarded", action="store_true")
    parser.add_argument("--fifo", action="store_true")
    parser.add_argument("--log-batches", action="store_true")
    parser.add_argument("--batch-seconds", type=float, default=0.0)
    return parser.parse_args()


async def _serve(arguments: argparse.Namespace) -> None:
    await MeasuredServer(Settings(), arguments.record).run()


def main() -> None:
    """Serve until a signal."""
    arguments = parse()
    logs.configure("error")
    for place, name, instead in exchanges(arguments):
        setattr(place, name, instead)
    asyncio.run(_serve(arguments))


if __name__ == "__main__":
    main()
