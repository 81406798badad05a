"""Messages cross unchanged and in order, both ways."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from config.testing.gateway import Gateway

pytestmark = pytest.mark.long

MESSAGES: list[str | bytes] = [
    "text",
    "ünïcödé 🎮",
    b"\x00\xff binary",
    "x" * 125,
    "x" * 126,
    b"y" * 65_535,
    b"y" * 65_536,
    "z" * 1_000_000,
]


async def echo(upstream: ServerConnection) -> None:
    async for message in upstream:
        await upstream.send(message)


async def test_messages_of_every_size_and_kind_come_back_unchanged(gateway: Gateway) -> None:
    async with gateway.serving(echo) as url, asyncio.timeout(20), gateway.connect(url) as client:
        for message in MESSAGES:
            await client.send(message)
        assert [await client.recv() for _ in MESSAGES] == MESSAGES


async def test_empty_messages_cross(gateway: Gateway) -> None:
    if gateway.kind == "daphne":
        pytest.skip("stock Daphne loses empty messages; `serve` does not")
    async with gateway.serving(echo) as url, asyncio.timeout(30), gateway.connect(url) as client:
        for message in ("", b"", "end"):
            await client.send(message)
        assert [await client.recv() for _ in range(3)] == ["", b"", "end"]


async def test_fragmented_messages_arrive_whole(gateway: Gateway) -> None:
    async def fragments(upstream: ServerConnection) -> None:
        await upstream.send(["a", "b" * 70_000, "", "c"])
        await upstream.send(await upstream.recv())
        await upstream.wait_closed()

    async with gateway.serving(fragments) as url, asyncio.timeout(30), gateway.connect(url) as client:
        assert await client.recv() == "a" + "b" * 70_000 + "c"
        await client.send([b"1", b"22", b"333"])
        assert await client.recv() == b"122333"


async def test_a_greeting_in_the_segment_of_the_handshake_answer_is_not_lost(gateway: Gateway) -> None:
    async def greet_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from websockets.http11 import Request
        from websockets.server import ServerProtocol

        protocol = ServerProtocol()
        protocol.receive_data(await reader.readuntil(b"\r\n\r\n"))
        (request,) = protocol.events_received()
        assert isinstance(request, Request)
        protocol.send_response(protocol.accept(request))
        protocol.send_text(b"greeting")
        protocol.send_binary(b"\x01\x02")
        writer.write(b"".join(protocol.data_to_send()))
        await writer.drain()
        await reader.read()

    async with (
        gateway.serving_raw(greet_at_once),
        asyncio.timeout(30),
        gateway.connect(gateway.url()) as client,
    ):
        assert [await client.recv(), await client.recv()] == ["greeting", b"\x01\x02"]


async def test_ten_thousand_messages_keep_their_order_both_ways(gateway: Gateway) -> None:
    count = 10_000

    async def counter(upstream: ServerConnection) -> None:
        async def count_up() -> None:
            for number in range(count):
                await upstream.send(str(number))

        sending = asyncio.create_task(count_up())
        for number in range(count):
            assert await upstream.recv() == str(number)
        await sending
        await upstream.send("all received in order")
        await upstream.wait_closed()

    async with gateway.serving(counter) as url, asyncio.timeout(30), gateway.connect(url) as client:

        async def count_up() -> None:
            for number in range(count):
                await client.send(str(number))

        sending = asyncio.create_task(count_up())
        assert [await client.recv() for _ in range(count)] == [str(number) for number in range(count)]
        assert await client.recv() == "all received in order"
        await sending


async def test_a_message_over_the_limit_closes_with_1009_from_either_end(gateway: Gateway) -> None:
    async def too_big(upstream: ServerConnection) -> None:
        if await upstream.recv() == "send me too much":
            await upstream.send(b"x" * ((1 << 20) + 1))
        await upstream.wait_closed()

    async with gateway.serving(too_big) as url, asyncio.timeout(30):
        async with gateway.connect(url) as client:
            await client.send("send me too much")
            await client.wait_closed()
        from_upstream, whose = client.close_code, client.close_reason
        async with gateway.connect(url) as client:
            with suppress(ConnectionClosed):  # the gateway may hang up while it is still being sent
                await client.send(b"x" * ((1 << 20) + 1))
            await client.wait_closed()
    assert from_upstream == (4909 if gateway.kind == "daphne" else 1009)
    assert client.close_code == 1009  # Daphne's own close, too
    if gateway.kind == "serve":  # Daphne sends no reasons
        assert whose == "upstream's message over 1048576 bytes"
        assert client.close_reason == "client's message over 1048576 bytes"
