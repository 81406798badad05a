"""Who reads slowly gets all that came before a close, and the close, however long that takes."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from proxy.core import closes
from proxy.core.closes import ClosedBy
from proxy.core.limits import LinkLimits
from proxy.core.wire.framing import close_frame, encode_frame
from proxy.core.wire.headers import BINARY
from proxy.engine.links.splice import Splice
from proxy.engine.links.spliced_leg import SplicedLeg
from proxy.engine.links.tests.splicing import (
    MASK,
    RawEnd,
    gateway_to,
    on_both_loops,
    raw_client,
    raw_upstream,
    until,
)
from proxy.engine.unsent import PROGRESS_BYTES, still_moves, unsent_bytes

CLOSE_SECONDS = 60.0  # none passes by itself: the reader says when one has
LIMITS = LinkLimits(close_timeout_seconds=CLOSE_SECONDS)
TIMEOUT_BYTES = 16 * 1024
COUNT, SIZE = 3, 256 * 1024
KERNEL_BYTES = 1 << 15


def stream(*, mask: bytes | None) -> bytes:
    message = encode_frame(BINARY, bytes(SIZE), mask=mask)
    return message * COUNT + close_frame(4000, "done", mask=mask)


async def read_past_timeouts(end: RawEnd, leg: SplicedLeg, *, most: int) -> tuple[int, bytes, int]:
    """How many bytes came, the last few of them, and how many close timeouts passed meanwhile.

    One passes whenever the gateway holds TIMEOUT_BYTES less than at the last one, or at the end of the link.
    """
    size, tail, timeouts = 0, b"", 0
    splice: Any = leg.splice
    unsent = -1
    now = splice.loop.time()
    while size < most and (chunk := await end.reader.read(1 << 14)):
        size, tail = size + len(chunk), (tail + chunk)[-100:]
        if splice.ended is None or leg.gone:
            continue
        left = unsent_bytes(leg.transport)
        if unsent < 0:
            unsent = left
        elif 0 < left <= unsent - TIMEOUT_BYTES:
            timeouts, unsent, now = timeouts + 1, left, now + 2 * CLOSE_SECONDS
            splice.look(now)
    return size, tail, timeouts


def keep_little(transport: Any) -> None:
    """Let the kernel hold little of what goes in or out there, so that it waits in the gateway."""
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, option, KERNEL_BYTES)


def keep_little_of(splice: Splice) -> None:
    keep_little(splice.down.transport)
    keep_little(splice.up.transport)


@on_both_loops
async def test_a_slow_client_gets_all_that_the_service_sent_before_its_close() -> None:
    expected = stream(mask=None)

    async def service(end: RawEnd) -> None:
        await end.frame()
        await end.send(expected)
        await end.ended()

    async with raw_upstream(service) as url, gateway_to(url, limits=LIMITS) as gateway:
        async with raw_client(gateway) as client:
            keep_little(client.writer)
            splice = await gateway.joined.get()
            keep_little_of(splice)
            await client.send(encode_frame(BINARY, b"go", mask=MASK))
            size, tail, timeouts = await read_past_timeouts(client, splice.down, most=len(expected))
    assert size == len(expected)
    assert tail.endswith(close_frame(4000, "done"))
    assert timeouts


@on_both_loops
async def test_a_slow_service_gets_all_that_the_client_sent_before_its_close() -> None:
    sent, received = stream(mask=MASK), asyncio.get_running_loop().create_future()
    joined: asyncio.Future[Splice] = asyncio.get_running_loop().create_future()

    async def service(end: RawEnd) -> None:
        keep_little(end.writer)
        received.set_result(await read_past_timeouts(end, (await joined).up, most=len(sent)))

    async with raw_upstream(service) as url, gateway_to(url, limits=LIMITS) as gateway:
        async with raw_client(gateway) as client:
            splice = await gateway.joined.get()
            keep_little_of(splice)
            joined.set_result(splice)
            await client.send(sent)
            size, tail, timeouts = await received
    assert size == len(sent)
    assert tail[-12] == 0x88
    assert timeouts


@on_both_loops
async def test_who_reads_nothing_after_a_close_is_ended_at_the_deadline() -> None:
    async def service(end: RawEnd) -> None:
        await end.send(stream(mask=None) * 8)
        await end.ended()

    async with (
        raw_upstream(service) as url,
        gateway_to(url, limits=LinkLimits(close_timeout_seconds=0.2)) as gateway,
    ):
        async with raw_client(gateway) as client:
            keep_little(client.writer)
            splice = await gateway.joined.get()
            keep_little_of(splice)
            await until(lambda: bool(splice.down.stalled_at))
            splice.end(closes.KICKED, ClosedBy.STAFF)
            await until(lambda: splice.down.gone and splice.up.gone)


@pytest.mark.parametrize("less", [0, 100])
def test_a_drip_is_no_progress(less: int) -> None:
    assert still_moves(50_000, 50_000 + PROGRESS_BYTES)
    assert not still_moves(50_000, 50_000 + less)
    assert not still_moves(0, 50_000)
