"""What waits for an application, and the applications that wait for it."""

from __future__ import annotations

import asyncio
import gc

from proxy.core.closes import Close, ClosedBy
from proxy.server.inbox import Inbox


def futures() -> int:
    # By type: isinstance would ask weak proxies of others' for what they stood for.
    return sum(issubclass(type(found), asyncio.Future) for found in gc.get_objects())


async def cancelled(inbox: Inbox) -> None:
    """A receive that was given up while nothing was there."""
    receiving = asyncio.ensure_future(inbox.receive())
    await asyncio.sleep(0)
    receiving.cancel()
    await asyncio.wait([receiving])


async def test_receives_that_are_given_up_leave_nothing_behind() -> None:
    inbox = Inbox(max_bytes=100, max_events=10)
    await cancelled(inbox)
    before = futures()
    for _ in range(100):
        await cancelled(inbox)
    assert futures() <= before


async def test_the_turn_of_who_gives_up_goes_to_the_next() -> None:
    inbox = Inbox(max_bytes=100, max_events=10)
    first, second = asyncio.ensure_future(inbox.receive()), asyncio.ensure_future(inbox.receive())
    await asyncio.sleep(0)
    inbox.put({"type": "websocket.receive", "text": "hello"})
    first.cancel()
    async with asyncio.timeout(30):
        assert (await second)["text"] == "hello"


async def test_all_who_wait_hear_of_the_first_end() -> None:
    inbox = Inbox(max_bytes=100, max_events=10)
    waiting = [asyncio.ensure_future(inbox.receive()) for _ in range(3)]
    await asyncio.sleep(0)
    inbox.end(Close(1000, ""), by=ClosedBy.CLIENT)
    inbox.end(Close(1011, "too late"), by=ClosedBy.GATEWAY)
    async with asyncio.timeout(30):
        assert [event["code"] for event in await asyncio.gather(*waiting)] == [1000] * 3
        assert (await inbox.receive())["code"] == 1000
