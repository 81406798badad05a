"""What is said of a turn of the event loop that took too long."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from proxy import metrics
from proxy.engine.slow_turns import SlowTurns

SLOW = "a turn of the event loop was slow"


@asynccontextmanager
async def watching(*, lasts_seconds: float) -> AsyncIterator[None]:
    watch = asyncio.create_task(SlowTurns(seconds=0.05, lasts_seconds=lasts_seconds).run())
    await asyncio.sleep(0)  # it beats
    yield
    watch.cancel()
    await asyncio.wait([watch], timeout=5)
    assert watch.cancelled()
    assert "slow-turns" not in {thread.name for thread in threading.enumerate()}


@pytest.fixture
async def watched() -> AsyncIterator[None]:
    async with watching(lasts_seconds=0.4):
        yield


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


def sleep(seconds: float) -> None:
    time.sleep(seconds)


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


@pytest.mark.parametrize(("hold", "computed"), [(work_hard, range(30, 500)), (sleep, range(20))])
async def test_a_turn_hardly_longer_than_it_may_be_says_whether_it_computed_or_waited(
    caplog: pytest.LogCaptureFixture, hold: Callable[[float], None], computed: range
) -> None:
    def lines() -> list[logging.LogRecord]:
        """On a busy machine others may be slow, too."""
        return [each for each in told(caplog) if hold.__name__ in each.__dict__["at"]]

    async with watching(lasts_seconds=20), asyncio.timeout(20):
        for pause_seconds in itertools.cycle((0.03, 0.034, 0.041)):  # the beats do not keep step with it
            hold(0.07)
            await asyncio.sleep(pause_seconds)
            if lines():  # of such, some are seen
                break
    assert lines()[0].__dict__["cpu_milliseconds"] in computed


@pytest.mark.usefixtures("watched")
async def test_a_turn_that_lasts_is_one_and_told_of_before_its_end_and_at_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    counted = metrics.SLOW_TURNS_TOTAL._value.get()
    began = time.monotonic()
    while not told(caplog) and time.monotonic() < began + 10:
        time.sleep(0.02)  # noqa: ASYNC251  the loop does not go on
    seconds = time.monotonic() - began
    time.sleep(2 * seconds)  # noqa: ASYNC251  nor here
    async with asyncio.timeout(10):
        while len(told(caplog)) < 2:
            await asyncio.sleep(0.005)

    before, at_its_end = (each.__dict__["milliseconds"] / 1000 for each in told(caplog))
    assert 0.4 <= before < 2 * seconds < at_its_end
    assert metrics.SLOW_TURNS_TOTAL._value.get() == counted + 1


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
