"""Two gateway processes that share one Valkey and one PostgreSQL, and what becomes of them when parts die."""

from __future__ import annotations

import asyncio
import json

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection, serve

from config.testing.gateway import Gateway, issue
from config.testing.publisher import Publisher
from config.testing.servers import ValkeyServer


async def echo(upstream: ServerConnection) -> None:
    async for message in upstream:
        await upstream.send(message)


async def both_ready(nodes: tuple[Gateway, Gateway]) -> None:
    for node in nodes:
        await node.wait_until_ready(redis=True, database=True)


async def closed(client: ClientConnection, *, within_seconds: float) -> tuple[int | None, str | None]:
    async with asyncio.timeout(within_seconds):
        await client.wait_closed()
    return client.close_code, client.close_reason


async def test_a_publish_and_a_kick_reach_every_node(
    nodes: tuple[Gateway, Gateway], publisher: Publisher
) -> None:
    first, second = nodes
    async with first.serving(echo), asyncio.timeout(40):
        await both_ready(nodes)
        async with (
            first.connect(first.url(token=issue("ann"))) as here,
            second.connect(second.url(token=issue("ann"))) as there,
            second.connect(second.url(token=issue("bob"))) as bystander,
        ):
            await publisher.publish("user:ann", {"type": "hello"})
            assert await here.recv() == await there.recv() == '{"type":"hello"}'
            await first.wait_for_records("closed_at IS NULL", 3)
            kicked = await asyncio.to_thread(first.manage, "kick", "--user", "ann", "--reason", "be nice")
            assert "2" in kicked.stdout
            assert await closed(here, within_seconds=2) == (4001, "be nice")
            assert await closed(there, within_seconds=2) == (4001, "be nice")
            await bystander.send("still here")
            assert await bystander.recv() == "still here"
            rows = await first.wait_for_records("closed_by = 'staff'", 2)
            assert {(row["close_code"], row["close_reason"]) for row in rows} == {(4001, "be nice")}


async def test_sockets_outlive_a_restart_of_valkey_and_hear_events_again(
    nodes: tuple[Gateway, Gateway], publisher: Publisher, valkey: ValkeyServer
) -> None:
    first, _ = nodes
    async with first.serving(echo), asyncio.timeout(50):
        await both_ready(nodes)
        async with first.connect(first.url(token=issue("ann"))) as client:
            await asyncio.to_thread(valkey.kill)
            await first.wait_until_ready(redis=False)
            await client.send("without redis")
            assert await client.recv() == "without redis"
            async with first.connect(first.url(token=issue("late"))) as late:
                await late.send("joined without redis")
                assert await late.recv() == "joined without redis"
                await asyncio.to_thread(valkey.start)
                await first.wait_until_ready(redis=True)
                resync = json.loads(await client.recv())
                assert resync["type"] == json.loads(await late.recv())["type"] == "gateway.resync"
                await publisher.publish("user:ann", {"type": "for ann"})
                await publisher.publish("user:late", {"type": "for late"})
                assert await client.recv() == '{"type":"for ann"}'
                assert await late.recv() == '{"type":"for late"}'


async def test_two_hundred_clients_play_fifty_vanish_and_nothing_is_left_behind(
    nodes: tuple[Gateway, Gateway],
) -> None:
    first, _ = nodes
    live_upstreams: set[ServerConnection] = set()

    async def pong(upstream: ServerConnection) -> None:
        live_upstreams.add(upstream)
        try:
            await echo(upstream)
        finally:
            live_upstreams.discard(upstream)

    async def play(number: int) -> None:
        async with first.connect(first.url(token=issue(f"player-{number}"))) as client:
            for turn in range(50):
                await client.send(f"{number}:{turn}")
                assert await client.recv() == f"{number}:{turn}"
            if number % 4 == 0:
                client.transport.abort()

    async with serve(pong, "127.0.0.1", first.kb_port, compression=None), asyncio.timeout(55):
        await both_ready(nodes)
        async with asyncio.TaskGroup() as tasks:
            for number in range(200):
                tasks.create_task(play(number))
        rows = await first.wait_for_records("closed_at IS NOT NULL", 200, within_seconds=20)
        assert {(row["messages_in"], row["messages_out"]) for row in rows} == {(50, 50)}
        assert [row["close_code"] for row in rows].count(1006) == 50
        assert first.records("closed_at IS NULL") == []
        async with asyncio.timeout(30):
            while live_upstreams:
                await asyncio.sleep(0.05)
        _, metrics = await first.get("/metrics")
    member = f"ws://127.0.0.1:{first.kb_port}/ws/experience"
    assert f'gateway_websocket_connections{{backend="{member}",route="experience"}} 0.0' in metrics
