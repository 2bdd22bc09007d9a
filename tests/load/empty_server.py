"""What is there before the product does anything: grpc.aio, and one hop to a thread and back.

Its engine sleeps. What a caller sees beside that is the floor under `overhead_ms_p50`; the same
load generator measures both.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import grpc
from tests.load.baseline import announce, translating

from khulasa.v1 import common_pb2, translation_pb2

ENGINE_SECONDS: Final = 0.01
"""About what a short sentence takes: long enough that every thread involved has gone to sleep."""


class EmptyTranslator:
    """Answers nothing, after a while in a worker thread."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(2)

    async def translate(
        self,
        _request: translation_pb2.TranslateRequest,
        _context: grpc.aio.ServicerContext[Any, Any],
    ) -> translation_pb2.TranslateResponse:
        """How long the thread slept, and nothing else."""
        loop = asyncio.get_running_loop()
        seconds = await loop.run_in_executor(self._executor, _slept)
        usage = common_pb2.Usage()
        usage.inference_duration.FromNanoseconds(round(seconds * 1e9))
        return translation_pb2.TranslateResponse(usage=usage)


def _slept() -> float:
    started = time.perf_counter()
    time.sleep(ENGINE_SECONDS)
    return time.perf_counter() - started


async def serve() -> None:
    """Serve until SIGTERM."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(translating(EmptyTranslator().translate))
    port = server.add_insecure_port("127.0.0.1:0")
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await server.start()
    announce(port)
    await stopped.wait()
    await server.stop(None)


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", type=Path, required=True)
    arguments = parser.parse_args()
    asyncio.run(serve())
    arguments.record.write_text("{}", "utf-8")


if __name__ == "__main__":
    main()
