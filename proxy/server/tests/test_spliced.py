"""A leg that an application hands to a splice: the server's part of it. The upstream is its own /echo."""

from __future__ import annotations

import asyncio

from websockets.asyncio.client import connect

from proxy.server.tests.conftest import RunningServer, frame, read_head, serving


def spliced(server: RunningServer, more: str = "", *, to: str = "echo") -> str:
    return server.url(f"splice?to=ws://127.0.0.1:{server.port}/{to}{more}")


async def test_messages_cross_and_control_messages_reach_the_life(server: RunningServer) -> None:
    async with asyncio.timeout(30), connect(spliced(server, "&key=crossed"), proxy=None) as client:
        for message in ("", b"", "text", b"bytes" * 10_000):
            await client.send(message)
            assert await client.recv() == message
        await client.send('{"type":"gateway.refresh"}')
        assert await client.recv() == 'control: {"type":"gateway.refresh"}'
        await client.close(4321, "enough")
    event = await server.seen("crossed")
    assert (event["code"], event["reason"], event["sluicegate.closed_by"]) == (4321, "enough", "client")


async def test_bytes_sent_before_the_answer_cross_first(server: RunningServer) -> None:
    path = f"splice?to=ws://127.0.0.1:{server.port}/echo"
    with server.upgrade(path, then=frame(1, b"early")) as raw:
        _, _, rest = await asyncio.to_thread(read_head, raw)
        while len(rest) < 7:
            rest += await asyncio.to_thread(raw.recv, 100)
    assert rest == b"\x81\x05early"


async def test_a_drain_closes_both_legs_with_1001() -> None:
    with serving(drain_seconds=0.2) as upstream, serving(drain_seconds=0.2) as gateway:
        url = gateway.url(f"splice?to=ws://127.0.0.1:{upstream.port}/echo&query=key%3Dup&key=down")
        async with asyncio.timeout(30), connect(url, proxy=None) as client:
            await client.send("hello")
            assert await client.recv() == "hello"
            gateway.terminate()
            await client.wait_closed()
        assert client.close_code == 1001
        assert str(client.close_reason).startswith("restart; retry in ")
        assert (await upstream.seen("up"))["code"] == 1001
        assert gateway.wait() == 0


async def test_a_second_signal_ends_a_splice_that_does_not_answer() -> None:
    with (
        serving(drain_seconds=60) as server,
        server.upgrade(f"splice?to=ws://127.0.0.1:{server.port}/stubborn&query=key%3Dx") as raw,
    ):
        await asyncio.to_thread(read_head, raw)
        server.terminate()
        await asyncio.to_thread(raw.recv, 1)  # the close frame; it is not answered
        server.terminate()
        assert server.wait(5) == 0
