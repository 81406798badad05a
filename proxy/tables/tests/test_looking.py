"""Looking at rows again and again: what an outage is, and what is none."""

from __future__ import annotations

import asyncio

import pytest
from django.db import OperationalError

from proxy.tables.looking import look_forever


class Looks:
    """Raises the failures one after another, then looks for good, and says when it has."""

    def __init__(self, *failures: Exception) -> None:
        self.failures, self.done = list(failures), asyncio.Event()

    async def __call__(self) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.done.set()


async def test_an_outage_is_logged_once_and_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    looks = Looks(OperationalError("away"), TimeoutError(), OperationalError("still away"))
    async with asyncio.timeout(30):
        looking = asyncio.create_task(look_forever(looks, seconds=0.001, fails="rows: away"), name="looking")
        await looks.done.wait()
        looking.cancel()
        await asyncio.wait({looking})
    assert caplog.messages == ["rows: away"]


async def test_a_mistake_in_what_becomes_of_the_rows_is_told_as_one_and_not_as_an_outage(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(KeyError):
        async with asyncio.timeout(30):
            await look_forever(Looks(KeyError("a mistake")), seconds=0.001, fails="rows: away")
    assert caplog.messages == []
