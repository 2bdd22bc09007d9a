"""The product's server with scripted engines that take their time, and a way to look inside.

SIGUSR1 makes it print a line about what it holds; before it drains for good it prints its books.
Texts with the word `POISON` make an engine raise.

Run as `python -m tests.faults.inspected`; settings come from the environment.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from khulasa_server.config import Settings
from khulasa_server.engines import proving
from khulasa_server.engines.scripted import Call, Script, ScriptedEngine
from khulasa_server.observability import logs
from khulasa_server.server import Server

if TYPE_CHECKING:
    from khulasa_server.bundles.manifest import Manifest

POISON: Final = "سموم"
PACE: Final = float(os.environ.get("FAULTS_PACE", "0.005"))
"""Seconds that a batch takes, so that there is something in flight when a fault strikes."""


def take_time(_call: Call) -> None:
    """As a model would."""
    time.sleep(PACE)


def load(_kind: str, _directory: object, manifest: Manifest, **_: object) -> ScriptedEngine:
    """A scripted engine in place of a model's."""
    return ScriptedEngine(manifest, Script(before=take_time, poison=frozenset({POISON})))


class InspectedServer(Server):
    """Says what it holds when asked, and what it has counted before it ends."""

    async def startup(self) -> None:
        """As the product's, with an ear for SIGUSR1."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._tell, "held")
        await super().startup()

    async def stop(self) -> None:
        """Print the books, then as the product's."""
        self._tell("ended")
        await super().stop()

    def _tell(self, event: str) -> None:
        books = self.scheduler.statistics()
        line = {
            "event": event,
            "tasks": len(asyncio.all_tasks()),
            "requests": books.requests,
            "outstanding": books.outstanding,
            "depth": sum(sum(lane.depth.values()) for lane in books.lanes.values()),
            "handled": self._handled(),
        }
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    def _handled(self) -> dict[str, float]:
        """Calls that ended, by `method code`."""
        found: dict[str, float] = {}
        for family in self.metrics.registry.collect():
            for sample in family.samples:
                if sample.name == "grpc_server_handled_total" and sample.value:
                    labels: Any = sample.labels
                    found[f"{labels['grpc_method']} {labels['grpc_code']}"] = sample.value
        return found


async def _serve() -> None:
    await InspectedServer(Settings()).run()


def main() -> None:
    """Serve until a signal."""
    logs.configure("error")
    setattr(proving, "load", load)  # noqa: B010 - the module does not export it
    asyncio.run(_serve())


if __name__ == "__main__":
    main()
