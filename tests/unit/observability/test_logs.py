"""One JSON object a line, and never a user's text."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import math
import subprocess
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from khulasa_server.observability import logs
from khulasa_server.observability.correlation import Correlation, correlate

if TYPE_CHECKING:
    from collections.abc import Iterator

PRIVATE = "نص سري لا يجوز تسجيله"
Line = dict[str, Any]


class OwnError(Exception):
    """Its messages are ours."""


class Unwritable(io.StringIO):
    """A stream whose reader is gone."""

    def write(self, _text: str, /) -> int:
        """Fail as a pipe does."""
        raise BrokenPipeError


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What is logged; everything the configuration touches is put back afterwards."""
    root, hooks = logging.root, (sys.excepthook, threading.excepthook, sys.unraisablehook)
    handlers, level, shown = list(root.handlers), root.level, warnings.showwarning
    out = io.StringIO()
    logs.configure("debug", stream=out, own_errors=(OwnError,))
    yield out
    logging.captureWarnings(capture=False)
    warnings.showwarning = shown
    root.handlers[:], root.level = handlers, level
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    structlog.reset_defaults()


def run(code: str) -> subprocess.CompletedProcess[str]:
    """A process that sets logging up and runs `code`."""
    program = f"from khulasa_server.observability import logs\nlogs.configure()\n{code}"
    return subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )


def lines(stream: io.StringIO) -> list[Line]:
    """Every line, parsed."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_object_with_the_usual_keys(stream: io.StringIO) -> None:
    """A line names its event, level, time in UTC, logger and the caller's fields."""
    structlog.get_logger("khulasa_server.server").info("started", port=7, model="ترجمة")

    (line,) = lines(stream)
    assert line.pop("time").endswith("Z")
    assert line == {
        "event": "started",
        "level": "info",
        "logger": "khulasa_server.server",
        "port": 7,
        "model": "ترجمة",
    }


def test_libraries_log_through_the_same_pipeline(stream: io.StringIO) -> None:
    """Lines of the standard library have the same form, from `warning` on."""
    logging.getLogger("grpc").warning("lost %s of %d", "one", 2)
    logging.getLogger("grpc").info("chatter")

    (line,) = lines(stream)
    assert line["event"] == "lost one of 2"
    assert (line["level"], line["logger"]) == ("warning", "grpc")


def test_a_line_carries_its_request(stream: io.StringIO) -> None:
    """Lines of ours and of libraries carry the ids of the request that the task works for."""

    async def work() -> None:
        correlate(Correlation("r-1", "t-1"))
        structlog.get_logger().info("ours")
        logging.getLogger("aiohttp").error("theirs")

    asyncio.run(work())
    structlog.get_logger().info("outside")

    *inside, outside = lines(stream)
    assert [(line["request_id"], line["trace_id"]) for line in inside] == [("r-1", "t-1")] * 2
    assert "request_id" not in outside


def test_exceptions_are_logged_without_their_messages(stream: io.StringIO) -> None:
    """`exc_info` of any form becomes type and frames; only messages of ours are kept."""
    try:
        int(PRIVATE)
    except ValueError as error:
        structlog.get_logger().error("defect", exc_info=error)
        structlog.get_logger().exception("defect")
        logging.getLogger("asyncio").exception("defect")
    structlog.get_logger().error("refused", exc_info=OwnError("said so"))

    *defects, own = lines(stream)
    assert [line["exception"]["type"] for line in defects] == ["ValueError"] * 3
    assert all(line["exception"]["frames"] for line in defects)
    assert "message" not in defects[0]["exception"]
    assert own["exception"]["message"] == "said so"
    assert json.dumps(PRIVATE)[1:-1] not in stream.getvalue()


def test_the_event_loop_reports_without_messages(stream: io.StringIO) -> None:
    """A task that fails unseen is logged by type, not by what its exception says."""

    async def fail() -> None:
        raise ValueError(PRIVATE)

    async def work() -> None:
        asyncio.get_running_loop().set_exception_handler(logs.handle_loop_exception)
        task = asyncio.create_task(fail())
        await asyncio.wait([task])
        del task
        await asyncio.sleep(0)

    asyncio.run(work())

    (line,) = lines(stream)
    assert line["exception"]["type"] == "ValueError"
    assert json.dumps(PRIVATE)[1:-1] not in stream.getvalue()


def test_python_warnings_are_lines_too(stream: io.StringIO) -> None:
    """A warning of the interpreter goes through the pipeline."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(capture=False)

    (line,) = lines(stream)
    assert line["logger"] == "py.warnings"


def test_a_lost_reader_does_not_fail_the_request() -> None:
    """Logging to a stream that is gone is silent."""
    stream = Unwritable()
    before = list(logging.root.handlers), logging.root.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    logs.configure("info", stream=stream)
    structlog.get_logger().info("unheard")
    logging.getLogger("grpc").error("unheard")
    logging.captureWarnings(capture=False)
    logging.root.handlers[:], logging.root.level = before
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    structlog.reset_defaults()

    assert stream.getvalue() == ""


@given(st.text(st.characters(codec=None)), st.text(st.characters(codec=None)))
def test_equal_texts_and_only_they_have_equal_digests(one: str, other: str) -> None:
    """A digest identifies a text within the process, lone surrogates included."""
    assert (logs.digest_of(one) == logs.digest_of(other)) == (one == other)
    assert logs.text_fields(one) == {"code_points": len(one), "digest": logs.digest_of(one)}


def test_another_process_gives_another_digest() -> None:
    """Nobody can look a text up in the log of a process by hashing it elsewhere."""
    code = "from khulasa_server.observability.logs import digest_of; print(digest_of('سلام'))"
    output = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert len(output.strip()) == 16
    assert output.strip() != logs.digest_of("سلام")


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, object(), {"a": object()}])
def test_every_line_is_strict_json(stream: io.StringIO, value: object) -> None:
    """Values without a JSON form do not break the line, and objects are not spelled out."""
    structlog.get_logger().info("odd", value=value)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(stream.getvalue(), parse_constant=refuse)["event"] == "odd"
    assert "0x" not in stream.getvalue()


def test_a_broken_record_costs_a_line_without_its_arguments() -> None:
    """A library's record that cannot be formatted is told about, not printed."""
    done = run("import logging; logging.getLogger('grpc').warning('%d items', 'secret')")

    assert json.loads(done.stderr)["event"] == "log record lost"
    assert "secret" not in done.stderr


def test_no_value_is_long(stream: io.StringIO) -> None:
    """Whatever a caller put into a name, a line stays readable and says how long it was."""
    structlog.get_logger().info("refused", model="x" * 100_000)

    (line,) = lines(stream)
    assert line["model"].endswith("… (100000 code points)")
    assert len(line["model"]) < 600


@pytest.mark.parametrize(
    "failure",
    [
        "raise ValueError('secret')",
        "import threading; t = threading.Thread(target=int, args=('secret',)); t.start(); t.join()",
        "type('T', (), {'__del__': lambda self: int('secret')})()",
    ],
)
def test_what_nobody_catches_is_logged_without_messages(failure: str) -> None:
    """Uncaught exceptions, of threads and finalizers too, are one JSON line on standard error."""
    done = run(failure)
    line = json.loads(done.stderr)

    assert line["exception"]["type"] == "ValueError"
    assert "secret" not in done.stderr
    assert done.stdout == ""
