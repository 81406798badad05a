"""Background work: restarted after a crash, named once, and ended together."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys

import pytest

from proxy import metrics
from proxy.engine.background import Background
from proxy.tests.counting import counted

CRASHES = [RuntimeError("crash"), asyncio.CancelledError("of what the work waited for")]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every wait before a restart, in seconds; none is really waited for."""
    waited: list[float] = []

    def jittered(delay_seconds: float, **_: float) -> float:
        waited.append(delay_seconds)
        return 0.0

    monkeypatch.setattr("proxy.core.backoff.jittered", jittered)
    return waited


@pytest.mark.parametrize("crash", CRASHES, ids=["an error", "a cancellation that nobody asked for"])
async def test_work_that_crashes_is_logged_counted_and_restarted_with_growing_waits(
    waits: list[float], caplog: pytest.LogCaptureFixture, crash: BaseException
) -> None:
    steady, starts = asyncio.Event(), 0

    async def work() -> None:
        nonlocal starts
        starts += 1
        if starts < 5:
            raise crash
        steady.set()
        await asyncio.Event().wait()

    background, before = Background(), counted(metrics.BACKGROUND_CRASHES_TOTAL, "crashing")
    background.start("crashing", work)
    async with asyncio.timeout(5):
        await steady.wait()
        await background.stop()
    assert counted(metrics.BACKGROUND_CRASHES_TOTAL, "crashing") - before == 4
    assert waits == [0.5, 1, 2, 4]
    assert caplog.text.count("background work crashed") == 4


async def test_work_that_returns_is_not_started_again_and_its_name_is_free() -> None:
    background, runs = Background(), 0
    ended = asyncio.Event()

    async def once() -> None:
        nonlocal runs
        runs += 1
        ended.set()

    async with asyncio.timeout(5):
        for _ in range(2):
            ended.clear()
            background.start("once", once)
            with pytest.raises(ValueError, match="'once' already runs"):
                background.start("once", once)
            await ended.wait()
            await asyncio.sleep(0)  # the task's own last turn
        await background.stop()
    assert runs == 2


async def test_stopping_ends_all_work_and_leaves_no_task() -> None:
    before = asyncio.all_tasks()
    background, ended = Background(), list[str]()

    async def work(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    background.start("a", lambda: work("a"))
    background.start("b", lambda: work("b"))
    async with asyncio.timeout(5):
        await asyncio.sleep(0)
        await background.stop()
        await background.stop()
    assert sorted(ended) == ["a", "b"]
    assert asyncio.all_tasks() == before


async def test_work_is_cancelled_once_and_has_a_moment_to_clean_up() -> None:
    background, cleaned_up = Background(), list[bool]()

    async def tidy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.4)  # a goodbye to a broker, say
            cleaned_up.append(True)

    background.start("tidy", tidy)
    await asyncio.sleep(0)
    await background.stop()
    assert cleaned_up


async def test_work_that_forgets_a_cancellation_is_cancelled_again_and_named(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.engine.background._CLEAN_UP_SECONDS", 0.05)
    background, forgotten = Background(), 0

    async def forgetful() -> None:
        nonlocal forgotten
        while forgotten < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                forgotten += 1
        await asyncio.Event().wait()

    background.start("forgetful", forgetful)
    async with asyncio.timeout(5):
        await asyncio.sleep(0)
        await background.stop(deadline_seconds=60)
    assert forgotten == 2
    again = [record for record in caplog.records if record.message == "background work is cancelled again"]
    assert {vars(record)["work"] for record in again} == {"background:forgetful"}


async def test_stopping_waits_no_longer_than_its_deadline_and_says_what_is_late(
    caplog: pytest.LogCaptureFixture,
) -> None:
    release, background = asyncio.Event(), Background()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    background.start("stubborn", stubborn)
    async with asyncio.timeout(5):
        await asyncio.sleep(0)
        with caplog.at_level(logging.ERROR):
            await background.stop(deadline_seconds=0.05)
        (late,) = (task for task in asyncio.all_tasks() if task.get_name() == "background:stubborn")
        release.set()
        await asyncio.wait([late])
    assert [record.work for record in caplog.records] == ["background:stubborn"]  # type: ignore[attr-defined]


_HANGS = """
import concurrent.futures, threading
from proxy.engine.background import end_for_sure
concurrent.futures.ThreadPoolExecutor().submit(threading.Event().wait)
end_for_sure(3, within_seconds=0.1)
"""


def test_a_process_whose_threads_hang_ends_all_the_same() -> None:
    ran = subprocess.run([sys.executable, "-c", _HANGS], timeout=30, check=False)
    assert ran.returncode == 3
