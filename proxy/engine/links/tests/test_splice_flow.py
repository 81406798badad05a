"""Ends that do not keep up: memory stays flat, nothing is lost, and patience has an end."""

from __future__ import annotations

import asyncio
import resource

from proxy.core import closes
from proxy.core.closes import ClosedBy
from proxy.core.events import Event
from proxy.core.limits import LinkLimits
from proxy.core.routes import Overflow
from proxy.core.wire.framing import close_frame, encode_frame, text_frame
from proxy.core.wire.headers import BINARY, PING
from proxy.engine.links.splice import Splice
from proxy.engine.links.tests.dialogue import Dialogue
from proxy.engine.links.tests.splicing import (
    RawEnd,
    TestGateway,
    client_of,
    gateway_to,
    hold,
    masked,
    on_both_loops,
    raw_client,
    raw_upstream,
    until,
)

MEGABYTES = 64
CHUNK = encode_frame(BINARY, b"x" * ((1 << 20) - 10))
SLOW = LinkLimits(slow_consumer_seconds=20, close_timeout_seconds=60)
BIG = encode_frame(BINARY, bytes(1000))
MASKED_CHUNK = masked(BINARY, b"x" * ((1 << 20) - 14))


def peak_rss_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def buffered_bytes(splice: Splice) -> int:
    return sum(leg.transport.get_write_buffer_size() for leg in (splice.up, splice.down))


async def offer(end: RawEnd, chunk: bytes) -> None:
    """Send as fast as the other side takes it; the writer's own buffer is bounded by drain()."""
    for _ in range(MEGABYTES):
        await end.send(chunk)


async def both_stopped(gateway: TestGateway, offering: asyncio.Task[None]) -> Splice:
    """Wait until the stream has come to a stand, with its sender still at it."""
    splice = await gateway.joined.get()
    await until(lambda: bool(splice.down.stalled_at or splice.up.stalled_at))
    assert not offering.done()
    assert buffered_bytes(splice) < 2 << 20
    return splice


async def read_all(end: RawEnd, size: int) -> None:
    while size:
        size -= len(await end.reader.read(min(size, 1 << 16)))


@on_both_loops
async def test_a_client_that_does_not_read_stops_the_service_and_then_gets_everything() -> None:
    offering: list[asyncio.Task[None]] = []

    async def upstream(end: RawEnd) -> None:
        offering.append(asyncio.ensure_future(offer(end, CHUNK)))
        await end.ended()

    before = peak_rss_bytes()
    async with raw_upstream(upstream) as url, gateway_to(url) as gateway, raw_client(gateway) as client:
        await until(lambda: bool(offering))
        await both_stopped(gateway, offering[0])
        await read_all(client, MEGABYTES * len(CHUNK))
        await offering[0]
        assert gateway.counted.stops > 0
        assert gateway.counted.slow == 0
    assert peak_rss_bytes() - before < 20 << 20


@on_both_loops
async def test_a_service_that_does_not_read_stops_the_client_and_then_gets_everything() -> None:
    read_on, done = asyncio.Event(), asyncio.Event()

    async def upstream(end: RawEnd) -> None:
        await read_on.wait()
        await read_all(end, MEGABYTES * len(MASKED_CHUNK))
        done.set()
        await end.ended()

    before = peak_rss_bytes()
    async with raw_upstream(upstream) as url, gateway_to(url) as gateway, raw_client(gateway) as client:
        offering = asyncio.ensure_future(offer(client, MASKED_CHUNK))
        await both_stopped(gateway, offering)
        read_on.set()
        await done.wait()
        await offering
    assert peak_rss_bytes() - before < 20 << 20


@on_both_loops
async def test_a_client_that_stays_behind_is_closed_with_1008_and_counted() -> None:
    heard = asyncio.Queue[bytes]()

    async def upstream(end: RawEnd) -> None:
        offering = asyncio.ensure_future(offer(end, CHUNK))
        while (frame := await end.frame())[0] != 0x88:
            pass
        heard.put_nowait(frame[1])
        offering.cancel()

    limits = LinkLimits(slow_consumer_seconds=0.3, close_timeout_seconds=0.3)
    async with (
        raw_upstream(upstream) as url,
        gateway_to(url, limits=limits) as gateway,
        raw_client(gateway) as client,
    ):
        splice = await gateway.joined.get()
        assert await heard.get() == (1008).to_bytes(2, "big") + b"slow consumer"
        end = await gateway.end_of(splice)
        assert (end.close.code, end.close.reason, end.by) == (1008, "slow consumer", ClosedBy.GATEWAY)
        assert gateway.counted.slow == 1
        client.close()


@on_both_loops
async def test_a_client_that_floods_pings_and_reads_nothing_costs_no_memory() -> None:
    from websockets.asyncio.server import serve

    ping = masked(PING, b"p" * 125)

    async with serve(hold, "127.0.0.1", 0, ping_interval=None) as server:
        url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        async with gateway_to(url) as gateway, raw_client(gateway) as client:
            splice = await gateway.joined.get()
            for _ in range(200):
                client.writer.write(ping * 500)
                await asyncio.sleep(0)
                if splice.down.stalled_at:
                    break
            assert buffered_bytes(splice) < 2 << 20


@on_both_loops
async def test_messages_and_events_keep_flowing_after_a_stall() -> None:
    async def upstream(end: RawEnd) -> None:
        await offer(end, CHUNK)
        await end.send(text_frame("after"))
        await end.ended()

    async with raw_upstream(upstream) as url, gateway_to(url) as gateway, client_of(gateway) as client:
        splice = await gateway.joined.get()
        await until(lambda: bool(splice.down.stalled_at))
        splice.inject(Event("event"))
        received = [await client.recv() for _ in range(MEGABYTES + 2)]
        assert received.count("event") == 1
        assert received[-1] in ("after", "event")
        assert sum(len(message) == len(CHUNK) - 10 for message in received) == MEGABYTES


@on_both_loops
async def test_a_client_that_is_reset_while_the_service_is_stuck_loses_nothing_that_it_sent() -> None:
    flood, reset = masked(BINARY, b"x" * 14) * 500_000, asyncio.Event()
    received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def service(end: RawEnd) -> None:
        await reset.wait()
        await end.send(text_frame("said to nobody"))
        received.set_result(await end.reader.read())

    async with raw_upstream(service) as url, gateway_to(url) as gateway:
        async with raw_client(gateway) as client:
            client.writer.write(flood)
            splice = await gateway.joined.get()
            await until(lambda: bool(splice.up.stalled_at and splice.down.scanner.unread))
        sent = splice.down.scanner.messages + len(splice.down.scanner.unread) // 20
        while not splice.down.gone:
            splice.inject(Event("an event"))  # by which the reset is noticed, at the latest
            if splice.down.shut:
                reset.set()
            await asyncio.sleep(0.001)
        assert (await received).count(b"\x82\x8e") >= sent
        assert await gateway.end_of(splice) == (closes.LOST, ClosedBy.CLIENT)


def test_a_service_is_seen_off_in_order_while_its_slow_client_is_still_stuck() -> None:
    with Dialogue(limits=SLOW) as link:
        link.client.stalls()
        link.service.says(BIG)
        link.wait(22)
        link.service.hears(close_frame(1008, "slow consumer"))
        link.service.says(BIG + close_frame(1008))
        link.wait()
        assert link.splice.up.gone
        assert not link.splice.down.gone


def test_a_service_that_stays_behind_has_failed() -> None:
    with Dialogue(limits=SLOW) as link:
        link.service.stalls()
        link.client.says(masked(BINARY, bytes(1000)))
        link.wait(22)
        link.client.hears(close_frame(1011, "upstream failed"))
        assert link.counted.slow == 0


def test_a_slow_client_that_makes_progress_is_kept() -> None:
    with Dialogue(limits=SLOW) as link:
        link.client.stalls()
        link.service.says(BIG)
        for _ in range(5):
            link.client.reads(50)
            link.wait(18)
        assert link.splice.ended is None
        link.wait(22)
        assert link.splice.ended == (closes.SLOW_CONSUMER, ClosedBy.GATEWAY)


def test_events_that_overflow_the_outbox_close_the_client() -> None:
    with Dialogue(limits=LinkLimits(outbox_bytes=250)) as link:
        link.client.stalls()
        link.service.says(BIG)
        for _ in range(3):  # the first, and what fits behind it
            link.inject("y" * 100)
        assert link.splice.ended is None
        link.inject("y" * 100)
        assert link.splice.ended == (closes.SLOW_CONSUMER, ClosedBy.GATEWAY)
        assert link.counted.slow == 1
        link.client.reads()
        link.client.hears(BIG, close_frame(1008, "slow consumer"))


def test_events_that_overflow_the_outbox_push_out_the_oldest() -> None:
    with Dialogue(limits=LinkLimits(outbox_bytes=1000), overflow=Overflow.DROP_OLDEST) as link:
        link.client.stalls()
        link.service.says(BIG)
        for number in range(100):
            link.inject(f"{number:098}")
        link.inject("z" * 2000)
        assert link.counted.dropped == 90
        link.client.reads()
        link.inject("last")
        kept = [text_frame(f"{number:098}") for number in range(89, 100)]
        link.client.hears(BIG, *kept, text_frame("last"))
