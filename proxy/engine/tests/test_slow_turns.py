"""What is said of a turn of the event loop that took too long."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncIterator

import pytest

from proxy import metrics
from proxy.engine.slow_turns import SlowTurns

SLOW = "a turn of the event loop was slow"


@pytest.fixture
async def watched() -> AsyncIterator[None]:
    watching = asyncio.create_task(SlowTurns(seconds=0.05, lasts_seconds=0.4).run())
    await asyncio.sleep(0)  # it beats
    yield
    watching.cancel()
    await asyncio.wait([watching], timeout=5)
    assert watching.cancelled()
    assert "slow-turns" not in {thread.name for thread in threading.enumerate()}


def told(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.getMessage() == SLOW]


async def until_told(caplog: pytest.LogCaptureFixture, text: str) -> logging.LogRecord:
    async with asyncio.timeout(10):
        while not (found := [each for each in told(caplog) if text in each.__dict__["at"]]):
            await asyncio.sleep(0.005)
    return found[0]


def hold_the_loop(secret: str) -> None:
    assert secret
    time.sleep(0.3)


def work_hard(seconds: float) -> None:
    ends = time.thread_time() + seconds
    while time.thread_time() < ends:
        json.dumps(list(range(100)))


@pytest.mark.usefixtures("watched")
async def test_what_held_the_loop_is_named_by_file_function_and_line_and_no_value(
    caplog: pytest.LogCaptureFixture,
) -> None:
    counted = metrics.SLOW_TURNS_TOTAL._value.get()
    hold_the_loop("a-secret")
    record = await until_told(caplog, "hold_the_loop")

    line = hold_the_loop.__code__.co_firstlineno + 2
    caller = "test_what_held_the_loop_is_named_by_file_function_and_line_and_no_value"
    at = record.__dict__["at"]
    assert at.startswith(
        f"proxy/engine/tests/test_slow_turns.py:{line} hold_the_loop < proxy/engine/tests/test"
    )
    assert at.split(" < ")[1].endswith(caller)
    assert 200 < record.__dict__["milliseconds"] < 5000
    assert record.levelno == logging.WARNING
    assert "a-secret" not in str(record.__dict__)
    assert metrics.SLOW_TURNS_TOTAL._value.get() > counted


@pytest.mark.usefixtures("watched")
async def test_code_of_a_library_is_named_with_the_code_of_ours_that_called_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    work_hard(0.3)
    record = await until_told(caplog, "work_hard")

    assert record.__dict__["at"].split(" < ")[0].startswith(("json/", "proxy/engine/tests/"))
    assert record.__dict__["cpu_milliseconds"] > 100


@pytest.mark.usefixtures("watched")
async def test_a_turn_that_lasts_is_told_of_before_its_end(caplog: pytest.LogCaptureFixture) -> None:
    ends = time.monotonic() + 10
    while not told(caplog) and time.monotonic() < ends:
        time.sleep(0.02)  # noqa: ASYNC251  the loop does not go on
    assert told(caplog)


@pytest.mark.usefixtures("watched")
async def test_a_flood_of_slow_turns_makes_few_lines_and_says_how_many_it_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    counted = metrics.SLOW_TURNS_TOTAL._value.get()
    async with asyncio.timeout(30):
        while metrics.SLOW_TURNS_TOTAL._value.get() < counted + 9:
            time.sleep(0.1)  # noqa: ASYNC251  this is the slowness
            await asyncio.sleep(0.03)

    assert 1 <= len(told(caplog)) <= 7
