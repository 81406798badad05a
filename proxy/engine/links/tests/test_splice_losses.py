"""How a splice's sockets end: resets, half-closes, and what is still on its way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from proxy.core import closes
from proxy.core.closes import ClosedBy
from proxy.core.limits import LinkLimits
from proxy.core.wire.framing import text_frame
from proxy.core.wire.headers import BINARY, CLOSE, TEXT
from proxy.core.wire.tests.frames import encode_frame
from proxy.engine.links.terms import End
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


class Listening:
    """A service that notes how its connection ended."""

    def __init__(self) -> None:
        self.close: asyncio.Future[tuple[int | None, str | None]] | None = None

    async def __call__(self, connection) -> None:  # type: ignore[no-untyped-def]
        self.close = asyncio.get_running_loop().create_future()
        await connection.wait_closed()
        self.close.set_result((connection.close_code, connection.close_reason))

    async def heard(self) -> tuple[int | None, str | None]:
        assert self.close is not None
        return await self.close


@on_both_loops
async def test_tcp_is_closed_right_after_the_close_handshake_with_the_client() -> None:
    silent = LinkLimits(close_timeout_seconds=15)

    async def never_answers(end: RawEnd) -> None:
        await end.ended()

    async with (
        raw_upstream(never_answers) as url,
        gateway_to(url, limits=silent) as gateway,
        raw_client(gateway) as client,
    ):
        await client.send(masked(CLOSE, b"\x03\xe8"))
        assert await client.frame() == (0x88, b"\x03\xe8")
        await client.ended()
        assert gateway.clients_gone == 1
        (await gateway.joined.get()).abort()


@on_both_loops
async def test_a_lost_service_ends_the_client_with_1011() -> None:
    async def drops(end: RawEnd) -> None:
        await end.send(text_frame("last words"))
        await end.frame()

    async with raw_upstream(drops) as url, gateway_to(url) as gateway, client_of(gateway) as client:
        splice = await gateway.joined.get()
        await client.send("go")
        assert await client.recv() == "last words"
        assert await close_of(client) == (1011, "upstream lost")
        assert await gateway.end_of(splice) == End(closes.LOST, ClosedBy.UPSTREAM)


@on_both_loops
async def test_a_service_that_closes_tcp_at_once_ends_the_client_with_1011() -> None:
    async def nothing(end: RawEnd) -> None:
        pass

    async with raw_upstream(nothing) as url, gateway_to(url) as gateway, client_of(gateway) as client:
        assert await close_of(client) == (1011, "upstream lost")


@on_both_loops
async def test_a_service_that_half_closes_ends_the_client_with_1011() -> None:
    async def half_closes(end: RawEnd) -> None:
        end.writer.write_eof()
        await end.ended()

    async with raw_upstream(half_closes) as url, gateway_to(url) as gateway, client_of(gateway) as client:
        assert await close_of(client) == (1011, "upstream lost")
        await gateway.end_of(await gateway.joined.get())


@on_both_loops
async def test_a_lost_client_ends_the_service_with_1001() -> None:
    service = Listening()
    async with gateway_to(service) as gateway, client_of(gateway) as client:
        splice = await gateway.joined.get()
        client.transport.abort()
        assert await service.heard() == (1001, "client lost")
        assert await gateway.end_of(splice) == End(closes.LOST, ClosedBy.CLIENT)


@on_both_loops
async def test_a_frame_that_was_cut_short_by_the_loss_of_its_sender_is_not_followed_by_a_close() -> None:
    async def cuts(end: RawEnd) -> None:
        await end.send(encode_frame(BINARY, b"x" * 1000)[:500])
        await end.frame()

    async with raw_upstream(cuts) as url, gateway_to(url) as gateway, raw_client(gateway) as client:
        splice = await gateway.joined.get()
        assert len(await client.reader.readexactly(500)) == 500
        await client.send(masked(TEXT, b"go"))
        assert await client.reader.read() == b""
        await gateway.end_of(splice)


@on_both_loops
async def test_what_was_sent_before_the_close_is_delivered_before_it() -> None:
    messages = [b"m" * 100_000] * 100

    async def upstream(connection) -> None:  # type: ignore[no-untyped-def]
        for message in messages:
            await connection.send(message)
        await connection.close(4000, "all said")

    async with gateway_to(upstream) as gateway, client_of(gateway) as client:
        splice = await gateway.joined.get()
        assert [message async for message in _until_close(client)] == messages
        assert (client.close_code, client.close_reason) == (4000, "all said")
        await gateway.end_of(splice)


async def _until_close(client: ClientConnection) -> AsyncIterator[str | bytes]:
    try:
        while True:
            yield await client.recv()
    except ConnectionClosed:
        return
