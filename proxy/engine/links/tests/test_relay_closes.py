"""The end of a relayed link: who still takes what came before it gets that, and the close."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest

from proxy.core import closes
from proxy.core.closes import Close, ClosedBy
from proxy.core.limits import LinkLimits
from proxy.core.wire.framing import encode_frame
from proxy.core.wire.headers import BINARY
from proxy.engine.links.relay import Relay
from proxy.engine.links.tests.splicing import MASK, RawEnd, on_both_loops, raw_upstream, terms, until
from proxy.engine.links.tests.test_relay_policy import ScriptedLeg
from proxy.engine.links.tests.test_splice_slow_closes import keep_little
from proxy.engine.pools.dial import DialRequest, Target, dial_leg
from proxy.engine.pools.upstream_leg import UpstreamLeg

LIMITS = LinkLimits(close_timeout_seconds=0.2)
MESSAGE = bytes(512 * 1024)


async def read_slowly(end: RawEnd) -> tuple[int, bytes]:
    """How many bytes came, and the last few of them, at most 16 KB every 40 ms."""
    size, tail = 0, b""
    while chunk := await end.reader.read(1 << 14):
        size, tail = size + len(chunk), (tail + chunk)[-100:]
        await asyncio.sleep(0.04)
    return size, tail


async def comes_to_rest(leg: UpstreamLeg) -> None:
    """Wait until the kernels have taken what they take of it without anybody reading."""
    before = -1
    while (unsent := leg.unsent_bytes) != before:
        before = unsent
        await asyncio.sleep(0.5)


async def kicked_in_the_middle(url: str, *, limits: LinkLimits, at_rest: bool = False) -> float:
    """A client that is kicked while its message is on its way to a service that does not keep up.

    Answers how many seconds after the kick the link was over.
    """
    leg = await dial_leg(Target(url), DialRequest(), limits=limits)
    keep_little(leg._connection.transport)
    client = ScriptedLeg(MESSAGE, close=None, by=ClosedBy.CLIENT)
    relay = Relay(client, leg, terms(limits=limits))
    running = asyncio.create_task(relay.run())
    await until(lambda: leg.unsent_bytes > len(MESSAGE) // 2)
    if at_rest:
        await comes_to_rest(leg)
    kicked_at = time.monotonic()
    relay.end(closes.KICKED, ClosedBy.STAFF)
    await running
    return time.monotonic() - kicked_at


@on_both_loops
async def test_a_slow_service_gets_all_of_a_message_that_came_before_a_relayed_close() -> None:
    received: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()

    async def service(end: RawEnd) -> None:
        keep_little(end.writer)
        received.set_result(await read_slowly(end))

    async with raw_upstream(service) as url, asyncio.timeout(20):
        await kicked_in_the_middle(url, limits=LIMITS)
        size, tail = await received
    assert size > len(encode_frame(BINARY, MESSAGE, mask=MASK))
    assert tail[-2 - 4 - 2 - len(closes.KICKED.reason)] == 0x88


@pytest.mark.timing
@on_both_loops
async def test_a_service_that_reads_nothing_is_cut_off_at_the_first_deadline() -> None:
    over = asyncio.Event()

    async def service(end: RawEnd) -> None:
        keep_little(end.writer)
        await over.wait()

    limits = LinkLimits(close_timeout_seconds=2)
    async with raw_upstream(service) as url, asyncio.timeout(20):
        took_seconds = await kicked_in_the_middle(url, limits=limits, at_rest=True)
        assert took_seconds < 2 * limits.close_timeout_seconds
        over.set()


class EndingLeg(ScriptedLeg):
    """A service's leg that ends its link by itself as it is read: in the middle of the relay's own turn."""

    relay: Relay

    async def receive(self) -> str | bytes:
        self.relay.end(closes.KICKED, ClosedBy.STAFF)
        return await super().receive()


@pytest.mark.parametrize("goes_on", [True, False], ids=["and goes on", "and fails at once"])
async def test_a_link_that_is_ended_from_within_its_own_turn_is_closed_on_both_sides(goes_on: bool) -> None:
    client = ScriptedLeg(close=None, by=ClosedBy.CLIENT)
    service = EndingLeg(close=None if goes_on else Close(1000, ""), by=ClosedBy.UPSTREAM)
    relay = service.relay = Relay(client, service, terms(limits=LIMITS))
    async with asyncio.timeout(5):
        ended = await relay.run()
    assert (ended.close, ended.by) == (closes.KICKED, ClosedBy.STAFF)
    assert client.closed_with == service.closed_with == closes.KICKED
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_who_cancels_a_relay_that_is_just_ended_is_heard() -> None:
    ends = [ScriptedLeg(close=None, by=by) for by in (ClosedBy.CLIENT, ClosedBy.UPSTREAM)]
    relay = Relay(ends[0], ends[1], terms(limits=LIMITS))
    running = asyncio.create_task(relay.run())
    await asyncio.sleep(0)
    relay.end(closes.KICKED, ClosedBy.STAFF)
    running.cancel()
    await asyncio.wait([running], timeout=5)
    assert running.cancelled()


async def test_a_message_too_big_closes_both_ends_and_the_reason_names_its_sender() -> None:
    client = ScriptedLeg("x" * 11, close=None, by=ClosedBy.CLIENT)
    service = ScriptedLeg(close=None, by=ClosedBy.UPSTREAM)
    async with asyncio.timeout(30):
        ended = await Relay(client, service, terms(limits=LinkLimits(max_message_bytes=10))).run()
    told = Close(1009, "client's message too big")
    assert (ended.close, ended.by) == (told, ClosedBy.GATEWAY)
    assert client.closed_with == service.closed_with == told
    assert service.heard == []


class FailingLeg(ScriptedLeg):
    """Its close fails as that of a server does whose client is gone already."""

    async def close(self, close: Close) -> None:
        raise RuntimeError("websocket.close is out of place")


@pytest.mark.parametrize("failing", [ClosedBy.CLIENT, ClosedBy.UPSTREAM])
async def test_an_end_whose_close_fails_costs_neither_the_other_its_close_nor_the_link_its_reason(
    failing: ClosedBy,
) -> None:
    ends = {
        by: (FailingLeg if by is failing else ScriptedLeg)(close=None, by=by)
        for by in (ClosedBy.CLIENT, ClosedBy.UPSTREAM)
    }
    relay = Relay(ends[ClosedBy.CLIENT], ends[ClosedBy.UPSTREAM], terms(limits=LIMITS))
    relay.end(closes.KICKED, ClosedBy.STAFF)
    async with asyncio.timeout(30):
        ended = await relay.run()
    assert (ended.close, ended.by) == (closes.KICKED, ClosedBy.STAFF)
    (other,) = (leg for by, leg in ends.items() if by is not failing)
    assert other.closed_with == closes.KICKED


class RegroupingLeg(ScriptedLeg):
    """Waits in a task group, one of whose tasks fails, and then without it."""

    groups = 0

    async def receive(self) -> str | bytes:
        with suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._fail())
        self.groups += 1
        return await super().receive()

    async def _fail(self) -> None:
        raise ConnectionError


async def test_a_leg_whose_task_group_has_failed_still_gets_its_close() -> None:
    """Python 3.11 leaves the group's task, which is the link's, cancelled once, for good."""
    client = ScriptedLeg(close=None, by=ClosedBy.CLIENT)
    service = RegroupingLeg("hello", close=None, by=ClosedBy.UPSTREAM)
    relay = Relay(client, service, terms())
    running = asyncio.create_task(relay.run())
    await until(lambda: service.groups == 2)
    relay.end(closes.KICKED, ClosedBy.STAFF)
    ended = await running
    assert (ended.close, ended.by) == (closes.KICKED, ClosedBy.STAFF)
    assert client.closed_with == service.closed_with == closes.KICKED
