"""How a splice ends: who is told what, who is waited for, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from proxy.core import closes
from proxy.core.closes import Close, ClosedBy
from proxy.core.limits import LinkLimits
from proxy.core.wire.framing import close_frame, text_frame
from proxy.core.wire.headers import BINARY, CLOSE, CONT, TEXT
from proxy.core.wire.tests.frames import encode_frame
from proxy.engine.links.splice import End
from proxy.engine.links.tests.splicing import (
    MASK,
    RawEnd,
    client_of,
    close_of,
    gateway_to,
    hold,
    masked,
    on_both_loops,
    raw_client,
    raw_upstream,
)

CODES = [
    (1000, ""),
    (1001, "bye"),
    (1003, ""),
    (1011, "broken"),
    (1012, "restart"),
    (3000, ""),
    (4999, "é" * 60),
]


class Told:
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
async def test_the_clients_close_reaches_the_service_with_code_and_reason() -> None:
    for code, reason in CODES:
        told = Told()
        async with gateway_to(told) as gateway, client_of(gateway) as client:
            splice = await gateway.joined.get()
            await client.close(code, reason)
            assert (client.close_code, client.close_reason) == (code, reason)
            assert await told.heard() == (code, reason)
            assert await gateway.end_of(splice) == End(Close(code, reason), ClosedBy.CLIENT)


@on_both_loops
async def test_the_services_close_reaches_the_client_with_code_and_reason() -> None:
    for code, reason in CODES:

        async def upstream(connection, code=code, reason=reason) -> None:  # type: ignore[no-untyped-def]
            await connection.close(code, reason)

        async with gateway_to(upstream) as gateway, client_of(gateway) as client:
            splice = await gateway.joined.get()
            assert await close_of(client) == (code, reason)
            assert await gateway.end_of(splice) == End(Close(code, reason), ClosedBy.UPSTREAM)


@on_both_loops
async def test_an_empty_close_stays_empty_both_ways() -> None:
    told = Told()
    async with gateway_to(told) as gateway, raw_client(gateway) as client:
        splice = await gateway.joined.get()
        await client.send(masked(CLOSE, b""))
        assert await client.frame() == (0x88, b"")
        assert await told.heard() == (1005, "")
        assert (await gateway.end_of(splice)).close == Close(1005, "")


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
async def test_a_service_that_does_not_answer_the_close_is_aborted_at_the_deadline() -> None:
    async with (
        raw_upstream(RawEnd.ended) as url,
        gateway_to(url, limits=LinkLimits(close_timeout_seconds=0.3)) as gateway,
        client_of(gateway) as client,
    ):
        splice = await gateway.joined.get()
        await client.close(4000, "done")
        assert await gateway.end_of(splice) == End(Close(4000, "done"), ClosedBy.CLIENT)


@on_both_loops
async def test_a_client_that_does_not_answer_the_close_is_aborted_at_the_deadline() -> None:
    async def upstream(connection) -> None:  # type: ignore[no-untyped-def]
        await connection.close(4000, "done")

    async with (
        gateway_to(upstream, limits=LinkLimits(close_timeout_seconds=0.3)) as gateway,
        raw_client(gateway) as client,
    ):
        splice = await gateway.joined.get()
        assert await client.frame() == (0x88, b"\x0f\xa0done")
        assert await gateway.end_of(splice) == End(Close(4000, "done"), ClosedBy.UPSTREAM)
        await client.ended()


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
    told = Told()
    async with gateway_to(told) as gateway, client_of(gateway) as client:
        splice = await gateway.joined.get()
        client.transport.abort()
        assert await told.heard() == (1001, "client lost")
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
async def test_the_gateway_closes_both_ends_with_the_same_code_and_reason() -> None:
    told = Told()
    async with gateway_to(told) as gateway, client_of(gateway) as client:
        splice = await gateway.joined.get()
        splice.end(closes.KICKED, ClosedBy.STAFF)
        splice.end(closes.IDLE, ClosedBy.GATEWAY)
        assert await close_of(client) == (4001, "kicked by staff")
        assert await told.heard() == (4001, "kicked by staff")
        assert await gateway.end_of(splice) == End(closes.KICKED, ClosedBy.STAFF)


@on_both_loops
async def test_a_close_waits_for_the_frame_under_way_and_cuts_off_what_follows() -> None:
    proceed = asyncio.Event()
    frame = encode_frame(BINARY, b"x" * 1000)

    async def upstream(end: RawEnd) -> None:
        await end.send(frame[:500])
        await proceed.wait()
        await end.send(frame[500:] + text_frame("too late"))
        while (await end.frame())[0] != 0x88:
            pass
        await end.send(close_frame(4001))

    async with raw_upstream(upstream) as url, gateway_to(url) as gateway, raw_client(gateway) as client:
        splice = await gateway.joined.get()
        head = await client.reader.readexactly(500)
        splice.end(closes.KICKED, ClosedBy.STAFF)
        proceed.set()
        assert head + await client.reader.readexactly(len(frame) - 500) == frame
        first, payload = await client.frame()
        if (first, payload) == (0x81, b"too late"):  # came in the same chunk, before the last boundary
            first, payload = await client.frame()
        assert (first, payload) == (0x88, b"\x0f\xa1kicked by staff")
        await client.send(masked(CLOSE, b"\x0f\xa1"))
        await client.ended()
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


@on_both_loops
async def test_events_that_wait_are_delivered_before_the_services_close() -> None:
    proceed = asyncio.Event()

    async def upstream(end: RawEnd) -> None:
        await end.send(encode_frame(TEXT, b"one", fin=False))
        await proceed.wait()
        await end.send(encode_frame(CONT, b"two") + close_frame(4000))
        await end.ended()

    async with raw_upstream(upstream) as url, gateway_to(url) as gateway, raw_client(gateway) as client:
        splice = await gateway.joined.get()
        await client.frame()
        splice.down.inject(text_frame("event"))
        proceed.set()
        assert [await client.frame() for _ in range(3)] == [
            (0x80, b"two"),
            (0x81, b"event"),
            (0x88, b"\x0f\xa0"),
        ]


VIOLATIONS = {
    "unmasked": (text_frame("x"), 1002),
    "reserved opcode": (masked(TEXT, b"x").replace(b"\x81", b"\x83", 1), 1002),
    "compressed, not negotiated": (b"\xc1" + masked(TEXT, b"x")[1:], 1002),
    "fragmented ping": (b"\x09\x80" + MASK, 1002),
    "lone continuation": (masked(CONT, b"x"), 1002),
    "close code 1005": (masked(CLOSE, b"\x03\xed"), 1002),
    "close reason not UTF-8": (masked(CLOSE, b"\x03\xe8\xff"), 1007),
    "too big": (b"\x82\xff" + (1 << 20 | 1).to_bytes(8, "big") + MASK, 1009),
}


@pytest.mark.parametrize("kind", VIOLATIONS)
@on_both_loops
async def test_a_clients_violation_closes_both_ends_with_its_code(kind: str) -> None:
    frame, code = VIOLATIONS[kind]
    told = Told()
    async with gateway_to(told) as gateway, raw_client(gateway) as client:
        splice = await gateway.joined.get()
        await client.send(frame)
        first, payload = await client.frame()
        assert (first, int.from_bytes(payload[:2], "big")) == (0x88, code)
        await client.send(masked(CLOSE, payload[:2]))
        await client.ended()
        client.close()
        assert (await told.heard())[0] == code
        end = await gateway.end_of(splice)
        assert (end.close.code, end.by) == (code, ClosedBy.GATEWAY)


UPSTREAM_VIOLATIONS = {
    "masked": (masked(TEXT, b"x"), 1002, 1011),
    "reserved bits": (b"\xf1\x00", 1002, 1011),
    "too big": (b"\x82\x7f" + (1 << 20 | 1).to_bytes(8, "big"), 1009, 1009),
}


@pytest.mark.parametrize("kind", UPSTREAM_VIOLATIONS)
@on_both_loops
async def test_a_services_violation_is_not_blamed_on_the_client(kind: str) -> None:
    frame, upstream_code, client_code = UPSTREAM_VIOLATIONS[kind]
    heard = asyncio.Queue[bytes]()

    async def breaks(end: RawEnd) -> None:
        await end.send(frame)
        heard.put_nowait((await end.frame())[1])
        await end.ended()

    async with raw_upstream(breaks) as url, gateway_to(url) as gateway, client_of(gateway) as client:
        splice = await gateway.joined.get()
        assert (await close_of(client))[0] == client_code
        assert int.from_bytes((await heard.get())[:2], "big") == upstream_code
        assert (await gateway.end_of(splice)).by is ClosedBy.GATEWAY


@on_both_loops
async def test_a_message_too_big_is_refused_before_its_payload_comes() -> None:
    limits = LinkLimits(max_message_bytes=1000)
    async with gateway_to(hold, limits=limits) as gateway, raw_client(gateway) as client:
        await client.send(masked(BINARY, b"x" * 600, fin=False))
        await client.send(b"\x80\xfe" + (401).to_bytes(2, "big") + MASK)
        assert (await client.frame())[1][:2] == (1009).to_bytes(2, "big")


@on_both_loops
async def test_an_idle_link_is_closed_with_4008() -> None:
    told = Told()
    limits = LinkLimits(idle_timeout_seconds=0.3)
    async with gateway_to(told, limits=limits) as gateway, client_of(gateway) as client:
        assert await close_of(client) == (4008, "idle")
        assert await told.heard() == (4008, "idle")
