"""Pings: those of the ends cross, the gateway's own are answered to it, and who answers none is lost."""

from __future__ import annotations

import asyncio

from proxy.core import closes
from proxy.core.closes import ClosedBy
from proxy.core.limits import LinkLimits
from proxy.core.wire.framing import encode_frame, text_frame
from proxy.core.wire.headers import PING
from proxy.engine.links.splice import End
from proxy.engine.links.tests.splicing import (
    RawEnd,
    client_of,
    close_of,
    gateway_to,
    masked,
    on_both_loops,
    raw_client,
    raw_upstream,
)
from proxy.engine.links.tests.test_splice_closes import Told


@on_both_loops
async def test_pings_of_either_end_cross_and_so_do_their_pongs() -> None:
    async def upstream(connection) -> None:  # type: ignore[no-untyped-def]
        await (await connection.ping(b"from the service"))
        await connection.send("answered")
        await connection.wait_closed()

    async with gateway_to(upstream) as gateway, client_of(gateway) as client:
        await (await client.ping(b"from the client"))
        assert await client.recv() == "answered"


@on_both_loops
async def test_the_gateways_pings_keep_silent_ends_and_their_pongs_are_swallowed() -> None:
    frames = asyncio.Queue[tuple[int, bytes]]()

    async def upstream(end: RawEnd) -> None:
        for _ in range(3):
            first, payload = await end.frame()
            frames.put_nowait((first, payload))
            await end.send(encode_frame(0xA, payload))
        await end.send(text_frame("still here"))
        await end.ended()

    limits = LinkLimits(ping_interval_seconds=0.1, ping_timeout_seconds=5)
    async with raw_upstream(upstream) as url, gateway_to(url, limits=limits) as gateway:
        async with raw_client(gateway) as client:
            texts: list[tuple[int, bytes]] = []
            pings = 0
            while not texts or pings < 3:
                first, payload = await client.frame()
                if first == 0x80 | PING:
                    pings += 1
                    await client.send(masked(0xA, payload))
                else:
                    texts.append((first, payload))
            assert texts == [(0x81, b"still here")]
        assert all(frames.get_nowait()[0] == 0x80 | PING for _ in range(3))


@on_both_loops
async def test_a_client_that_does_not_answer_pings_is_lost() -> None:
    told = Told()
    limits = LinkLimits(ping_interval_seconds=0.1, ping_timeout_seconds=0.3, close_timeout_seconds=0.3)
    async with gateway_to(told, limits=limits) as gateway, raw_client(gateway) as client:
        splice = await gateway.joined.get()
        assert (await client.frame())[0] == 0x80 | PING
        first, payload = await client.frame()
        assert (first, payload[2:]) == (0x88, b"ping timeout")
        assert await told.heard() == (1001, "client lost")
        assert await gateway.end_of(splice) == End(closes.LOST, ClosedBy.CLIENT)


@on_both_loops
async def test_a_service_that_does_not_answer_pings_is_lost() -> None:
    limits = LinkLimits(ping_interval_seconds=0.1, ping_timeout_seconds=0.3, close_timeout_seconds=0.3)
    async with (
        raw_upstream(RawEnd.ended) as url,
        gateway_to(url, limits=limits) as gateway,
        client_of(gateway) as client,
    ):
        splice = await gateway.joined.get()
        assert await close_of(client) == (1011, "upstream lost")
        assert await gateway.end_of(splice) == End(closes.LOST, ClosedBy.UPSTREAM)
