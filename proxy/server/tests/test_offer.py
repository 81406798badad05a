"""What an application learns of a client that leaves while it is dialled for."""

from __future__ import annotations

import asyncio

import pytest

from proxy.core.errors import ClientLeft
from proxy.server.handshake_leg import SpliceOffer
from proxy.server.tests.conftest import RunningServer


async def test_a_client_that_leaves_ends_the_dial_and_nothing_else_of_the_task() -> None:
    offer, dialling = SpliceOffer(), asyncio.Event()

    async def application() -> str:
        with pytest.raises(ClientLeft):
            await offer.until_left(dial(dialling))
        await asyncio.sleep(0)  # a cancellation that still hung over it would strike here
        return "went on"

    task = asyncio.create_task(application())
    await dialling.wait()
    offer.leave()
    assert await task == "went on"


async def test_for_a_client_that_has_left_before_no_dial_begins() -> None:
    offer, dialling = SpliceOffer(), asyncio.Event()
    offer.leave()
    with pytest.raises(ClientLeft):
        async with asyncio.timeout(30):
            await offer.until_left(dial(dialling))
    assert not dialling.is_set()


async def test_an_application_that_begins_to_dial_for_who_has_left_is_told_so(server: RunningServer) -> None:
    with server.upgrade("dial-late?key=late"):
        await server.seen("ponderinglate")
    assert await server.seen("late") == {"type": "client left"}


async def test_who_is_cancelled_by_others_as_well_stays_cancelled() -> None:
    offer, dialling = SpliceOffer(), asyncio.Event()
    task = asyncio.ensure_future(offer.until_left(dial(dialling)))
    await dialling.wait()
    offer.leave()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_client_that_leaves_after_the_dial_cancels_nobody() -> None:
    offer = SpliceOffer()
    assert await offer.until_left(asyncio.sleep(0, "dialled")) == "dialled"
    offer.leave()
    await asyncio.sleep(0)


async def dial(begun: asyncio.Event) -> None:
    begun.set()
    await asyncio.Event().wait()
