"""Which request and which trace a call belongs to."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khulasa_server.observability.correlation import (
    Correlation,
    correlate,
    current,
    trace_id_of,
)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"00-{TRACE}-{PARENT}-01", TRACE),
        (f"00-{TRACE}-{PARENT}-00", TRACE),
        (f" 00-{TRACE}-{PARENT}-01 ", TRACE),
        (f"cc-{TRACE}-{PARENT}-01-what-comes-later", TRACE),
        (f"00-{TRACE}-{PARENT}-01-extra", ""),
        (f"ff-{TRACE}-{PARENT}-01", ""),
        (f"00-{'0' * 32}-{PARENT}-01", ""),
        (f"00-{TRACE}-{'0' * 16}-01", ""),
        (f"00-{TRACE.upper()}-{PARENT}-01", ""),
        (f"00-{TRACE}-{PARENT}", ""),
        ("", ""),
    ],
)
def test_traceparent_is_read_as_w3c_says(header: str, expected: str) -> None:
    """Valid headers of this and later versions give their trace id, all others none."""
    assert trace_id_of(header) == expected


@given(st.text())
def test_no_header_breaks_the_reader(header: str) -> None:
    """Whatever a caller sends, the answer is 32 hexadecimal digits or nothing."""
    trace = trace_id_of(header)
    assert trace == "" or (len(trace) == 32 and int(trace, 16))


async def test_each_task_keeps_its_own_request() -> None:
    """Requests of concurrent tasks do not mix, and tasks they start belong to them."""

    async def child() -> Correlation:
        return current()

    async def request(number: int) -> Correlation:
        correlate(Correlation(str(number)))
        await asyncio.sleep(0)
        return await asyncio.create_task(child())

    seen = await asyncio.gather(*map(request, range(20)))

    assert [each.request_id for each in seen] == [str(number) for number in range(20)]
    assert current() == Correlation()
