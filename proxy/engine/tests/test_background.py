"""Background work: restarted after a crash, named once, and ended together."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from functools import partial

import pytest

from proxy import metrics
from proxy.engine.background import Background, Work
from proxy.tests.counting import counted


class Odd(BaseException):
    """What no `except Exception` catches."""


CRASHES = [
    RuntimeError("crash"),
    asyncio.CancelledError("of what the work waited for"),
    Odd(),
    GeneratorExit(),
]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every wait before a restart, in seconds; none is really waited for."""
    waited: list[float] = []

    def jittered(delay_seconds: float, **_: float) -> float:
        waited.append(delay_seconds)
        return 0.0

    monkeypatch.setattr("proxy.core.backoff.jittered", jittered)
    return waited


async def under_way(background: Background, name: str, work: Work) -> None:
    """Start that, and wait until it has begun."""
    begun = asyncio.Event()

    async def begin() -> None:
        begun.set()
        await work()

    background.start(name, begin)
    await begun.wait()


@pytest.mark.parametrize("crash", CRASHES, ids=repr)
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
    async with asyncio.timeout(30):
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

    async with asyncio.timeout(30):
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

    async with asyncio.timeout(30):
        await under_way(background, "a", lambda: work("a"))
        await under_way(background, "b", lambda: work("b"))
        await background.stop()
        await background.stop()
    assert sorted(ended) == ["a", "b"]
    assert asyncio.all_tasks() == before


async def test_what_others_need_until_their_end_ends_behind_them() -> None:
    background, ended = Background(), list[str]()

    async def work(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            ended.append(name)

    async with asyncio.timeout(30):
        background.start("commands", lambda: work("commands"), ends_last=True)
        for name in ("a", "b"):
            await under_way(background, name, partial(work, name))
        await background.stop()
    assert (sorted(ended[:2]), ended[2:]) == (["a", "b"], ["commands"])


async def test_work_is_cancelled_once_and_has_a_moment_to_clean_up() -> None:
    background, cleaned_up = Background(), list[bool]()

    async def tidy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.4)  # a goodbye to a broker, say
            cleaned_up.append(True)

    await under_way(background, "tidy", tidy)
    await background.stop()
    assert cleaned_up


async def test_work_that_fails_at_its_end_is_named_and_not_begun_again(
    waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    background, before = Background(), counted(metrics.BACKGROUND_CRASHES_TOTAL, "failing")

    async def failing() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ConnectionError("the broker takes no goodbye")

    await under_way(background, "failing", failing)
    await background.stop()
    assert [record.message for record in caplog.records] == ["background work failed at its end"]
    assert "the broker takes no goodbye" in caplog.text
    assert waits == []
    assert counted(metrics.BACKGROUND_CRASHES_TOTAL, "failing") == before


async def test_work_whose_task_group_has_failed_is_restarted_ever_after_and_stopped_at_once(
    waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """Python 3.11 leaves its task cancelled once, for good."""
    background, steady, starts = Background(), asyncio.Event(), 0

    async def fail() -> None:
        raise ConnectionError

    async def work() -> None:
        nonlocal starts
        starts += 1
        if starts == 1:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(fail())
        if starts == 2:
            raise asyncio.CancelledError("of what the work waited for")
        steady.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(5):
        await under_way(background, "grouped", work)
        await steady.wait()
        await background.stop()
    assert [record.message for record in caplog.records] == ["background work crashed"] * 2


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

    async with asyncio.timeout(30):
        await under_way(background, "forgetful", forgetful)
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

    async with asyncio.timeout(30):
        await under_way(background, "stubborn", stubborn)
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
