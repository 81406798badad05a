"""Neither a client that does not read nor an application that does not receive costs memory."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from websockets.asyncio.client import connect

from proxy.server.tests.conftest import RunningServer, frame, read_head, serving, upgrade_request

MIB = 1 << 20


async def test_a_client_that_does_not_read_stops_the_application(server: RunningServer) -> None:
    """64 MB are offered; the server holds next to nothing of it, and all of it arrives in order."""
    before = (await server.ask("pid"))["rss_bytes"]
    count, size = 1000, 64_000
    async with (
        asyncio.timeout(30),
        connect(
            server.url(f"flood?key=pour&size={size}&count={count}"),
            proxy=None,
            compression=None,
            max_queue=1,
            max_size=None,
        ) as client,
    ):
        first = await client.recv()
        stalled_at = -1
        while (sent := (await server.ask("counts")).get("floodedpour", 0)) != stalled_at:
            stalled_at = sent
        assert stalled_at < count / 2
        assert (await server.ask("pid"))["rss_bytes"] - before < 5 * MIB
        assert isinstance(first, bytes)
        for number in range(1, count):
            message = await client.recv()
            assert isinstance(message, bytes)
            assert int.from_bytes(message[:4], "big") == number


async def test_a_client_that_never_reads_is_closed_as_a_slow_consumer(server: RunningServer) -> None:
    counted = (await server.ask("counts")).get("slow_consumers_total", 0)
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(10)
        raw.connect(("127.0.0.1", server.port))
        raw.sendall(upgrade_request("flood?key=stall&size=60000&count=1000"))
        await asyncio.to_thread(read_head, raw)
        event = await server.seen("stall")
    assert (event["code"], event["reason"]) == (1008, "slow consumer")
    assert event["sluicegate.closed_by"] == "gateway"
    assert (await server.ask("counts"))["slow_consumers_total"] == counted + 1


async def test_a_slow_consumer_that_reads_after_all_gets_everything_and_then_1008() -> None:
    limits = {"slow_consumer_seconds": 0.3, "close_timeout_seconds": 5.0}
    with serving(limits=limits, sweep_seconds=0.05, drain_seconds=0.1) as server:
        url = server.url("flood?key=late&size=60000&count=1000")
        async with asyncio.timeout(20), connect(url, proxy=None, max_queue=1) as client:
            assert (await server.seen("late"))["code"] == 1008
            numbers = [int.from_bytes(message[:4], "big") async for message in _until_closed(client)]
        assert numbers == list(range(len(numbers)))
        assert (client.close_code, client.close_reason) == (1008, "slow consumer")


async def _until_closed(client):
    from websockets.exceptions import ConnectionClosed

    try:
        while True:
            yield await client.recv()
    except ConnectionClosed:
        return


def send_until_full(raw: socket.socket, data: bytes) -> int:
    """How many bytes went into the socket before it took none for its timeout."""
    sent = 0
    try:
        while sent < len(data):
            sent += raw.send(data[sent : sent + 65536])
    except TimeoutError:
        pass
    return sent


@pytest.mark.parametrize("size", [0, 1, 90_000])
async def test_an_application_that_does_not_receive_stops_the_client(
    server: RunningServer, size: int
) -> None:
    """However small the messages, the server stops reading; all of them are there once it receives."""
    before = (await server.ask("pid"))["rss_bytes"]
    count = 400 if size > 1000 else 200_000
    wire = frame(2, bytes(size)) * (1 if size > 1000 else 1000)
    key = f"deaf{size}"
    with server.upgrade(f"deaf?key={key}") as raw:
        await asyncio.to_thread(read_head, raw)
        raw.settimeout(0.5)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        total = wire * (count // (1 if size > 1000 else 1000))
        sent = await asyncio.to_thread(send_until_full, raw, total)
        assert sent < len(total) * 0.9
        assert (await server.ask("pid"))["rss_bytes"] - before < 5 * MIB

        await server.ask(f"open-gate?key={key}")
        raw.settimeout(20)
        await asyncio.to_thread(raw.sendall, total[sent:] + frame(1, b"end"))
        answer = await asyncio.to_thread(raw.recv, 1000)
        assert json.loads(answer[2:]) == [count, count * size]


async def test_a_client_that_only_pings_is_soon_read_no_faster_than_it_may_and_costs_no_memory(
    server: RunningServer,
) -> None:
    before = (await server.ask("pid"))["rss_bytes"]
    with server.upgrade("echo") as raw:
        await asyncio.to_thread(read_head, raw)
        raw.settimeout(1)
        pings = frame(9, bytes(125)) * 500
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(raw.sendall, pings * 1000)  # 65 MB, if they were read
        assert (await server.ask("pid"))["rss_bytes"] - before < 5 * MIB


async def test_a_message_in_a_million_fragments_is_refused_and_costs_no_memory(server: RunningServer) -> None:
    before = (await server.ask("pid"))["rss_bytes"]
    with server.upgrade("echo") as raw:
        await asyncio.to_thread(read_head, raw)
        raw.sendall(frame(2, b"", fin=False))
        for _ in range(100):
            await asyncio.to_thread(raw.sendall, frame(0, b"", fin=False) * 1000)
        answer = await asyncio.to_thread(raw.recv, 200)
        assert answer[2:] == (1009).to_bytes(2, "big") + b"client's message in too many fragments"
    assert (await server.ask("pid"))["rss_bytes"] - before < 5 * MIB
