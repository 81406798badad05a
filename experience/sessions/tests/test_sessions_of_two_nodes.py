"""Sessions on two nodes: who wins a token, and what becomes of them while their Redis is away."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus

from config.testing.ending import ended
from config.testing.gateway import Gateway
from config.testing.servers import ValkeyServer
from experience.sessions.tests.conftest import Agent, Gaps, closed, gaps, heard, refused, until


@pytest.fixture
async def agent(nodes: list[Gateway], own_valkey: ValkeyServer) -> AsyncIterator[Agent]:
    async with Redis.from_url(own_valkey.url) as redis:
        yield Agent(redis, nodes[0])


async def test_of_fifty_who_show_a_token_on_two_nodes_one_comes_in(
    nodes: list[Gateway], agent: Agent
) -> None:
    async def come(node: Gateway) -> int:
        try:
            async with agent.client(node):
                await asyncio.wait_for(over.wait(), 20)
        except InvalidStatus as refusal:
            return refusal.response.status_code
        return 101

    for _ in range(5):
        over = asyncio.Event()
        await agent.let_in()
        async with asyncio.timeout(30):
            coming = [asyncio.create_task(come(nodes[number % 2])) for number in range(50)]
            while sum(each.done() for each in coming) < 49:
                await asyncio.wait(coming, return_when=asyncio.FIRST_COMPLETED, timeout=0.05)
            over.set()
            assert sorted([await each for each in coming]) == [101, *[401] * 49]
        await until(lambda: agent.redis.keys("session:*"), [])


async def _leave(agent: Agent, node: Gateway) -> None:
    """Begin a handshake, and go once its token was asked for, which Redis does not answer yet."""
    handshake = asyncio.create_task(agent.client().__aenter__())
    try:
        await until(lambda: _asks_for(agent), wanted=True)
    finally:
        handshake.cancel()
        await asyncio.wait({handshake})


async def _asks_for(agent: Agent) -> bool:
    """Whether a connection has a script for Redis that has to wait."""
    clients: list[dict[str, str]] = await agent.redis.client_list()
    return any(client["cmd"] == "eval" and "b" in client["flags"] for client in clients)


async def _wait(agent: Agent, node: Gateway) -> None:
    await refused(node, agent.client(), status=504, code="redis_timeout")


@pytest.mark.parametrize("give_up", [_leave, _wait])
async def test_a_token_comes_back_when_its_handshake_ends_after_it_was_asked_for(
    nodes: list[Gateway], agent: Agent, give_up: Callable[[Agent, Gateway], Awaitable[None]]
) -> None:
    async with asyncio.timeout(40):
        async with agent.joined():  # it is up
            pass
        await until(lambda: agent.redis.keys("session:*"), [])  # and has no more to say
        await agent.let_in(seconds=60)
        # What nodes tell each second of themselves would wait before the question, on the same connection.
        await agent.redis.execute_command("ACL", "SETUSER", "default", "-xadd")  # type: ignore[no-untyped-call]
        await agent.redis.client_pause(30_000, all=False)  # who writes waits: it can be read, and not taken
        await give_up(agent, nodes[0])
        await agent.redis.client_unpause()
        auth = f"session:{agent.session}:auth"  # never taken, where the node had given its connection up
        await until(lambda: agent.redis.keys("session:*"), [auth.encode()])
        assert await agent.redis.get(auth) == agent.token.encode()
        assert 10 < await agent.redis.ttl(auth) <= 60
        async with agent.client(nodes[1]):
            await until(lambda: agent.redis.keys("session:*"), [])


async def test_who_is_told_that_a_session_cannot_be_subscribed_to_finds_the_token_at_once(
    nodes: list[Gateway], agent: Agent
) -> None:
    """As nginx does, which asks the other node within a millisecond of a 503."""

    async def come(agent: Agent) -> bool:
        await agent.let_in()
        await refused(nodes[0], agent.client(), status=503, code="redis_away")
        return bool(await agent.redis.exists(f"session:{agent.session}:auth"))

    async with asyncio.timeout(60):
        await agent.redis.acl_setuser("default", enabled=True, reset_channels=True)
        agents = [Agent(agent.redis, nodes[0]) for _ in range(50)]
        assert all(await asyncio.gather(*map(come, agents)))
        await agent.redis.acl_setuser("default", enabled=True, channels=["*"])
        async with agents[0].client():
            pass


async def test_a_token_is_not_even_taken_while_sessions_cannot_be_heard(
    nodes: list[Gateway], agent: Agent
) -> None:
    async with asyncio.timeout(30), agent.joined():
        there = int((await agent.redis.info("clients"))["connected_clients"])
        await agent.redis.config_set("maxclients", there - 1)  # nobody new
        await agent.redis.client_kill_filter(_type="pubsub")
        await asyncio.to_thread(nodes[0].program.wait_for_output, "Redis is away: nothing is heard")
        await agent.let_in()
        before = nodes[0].program.output.count("session token taken")
        await refused(nodes[0], agent.client(), status=503, code="redis_away")
        assert nodes[0].program.output.count("session token taken") == before


@pytest.mark.parametrize(
    "nodes", [{"SLOW_CONSUMER_SECONDS": "1", "RELAY_REDIS_TIMEOUT_SECONDS": "3"}], indirect=True
)
async def test_a_message_may_wait_for_redis_longer_than_a_client_may_be_slow(
    nodes: list[Gateway], agent: Agent
) -> None:
    async with asyncio.timeout(30), agent.joined() as client:
        await agent.redis.client_pause(5_000)
        await client.send("{}")
        assert (await heard(client))["code"] == "not_delivered"
        await client.send('{"type":"ping"}')
        assert await heard(client) == {"type": "pong"}


async def test_a_redis_that_does_not_answer_is_a_504_and_one_that_is_away_a_503(
    nodes: list[Gateway], agent: Agent, own_valkey: ValkeyServer
) -> None:
    async with asyncio.timeout(40):
        await agent.let_in()
        async with agent.client():  # it has been there
            pass
        own_valkey.freeze()
        await refused(nodes[0], agent.client(), status=504, code="redis_timeout")
        own_valkey.kill()
        await refused(nodes[0], agent.client(), status=503, code="redis_away")
        own_valkey.start()
        async with Redis.from_url(own_valkey.url) as redis:
            agent.redis = redis
            await agent.let_in()
            await until(lambda: _can_join(agent), wanted=True)


async def _can_join(agent: Agent) -> bool:
    with suppress(InvalidStatus):
        async with agent.client():
            return True
    return False


@pytest.mark.timeout(120)
async def test_clients_stay_while_redis_restarts_and_are_told_of_the_gap_and_of_no_other(
    nodes: list[Gateway], agent: Agent, own_valkey: ValkeyServer
) -> None:
    await agent.let_in()
    async with asyncio.timeout(100), agent.client(nodes[0]) as one:
        await agent.let_in()
        async with agent.client(nodes[1]) as other:
            numbers: list[list[str]] = [[], []]
            hearing = [
                asyncio.create_task(_hear(client, into))
                for client, into in zip((one, other), numbers, strict=True)
            ]
            saying = asyncio.create_task(_say(own_valkey.url, agent.down))
            for count, fault in enumerate((own_valkey.freeze, own_valkey.kill, own_valkey.kill)):
                await _grown(numbers)  # under traffic, which comes to each node again
                fault()  # one that is silent is given up after eight seconds
                await until(lambda: _losses(nodes), [count + 1, count + 1])
                await asyncio.to_thread(own_valkey.ensure_running)
                await until(agent.hearers, 2)
            await _grown(numbers)
            await ended([saying])
            await agent.redis.publish(agent.down, "the end")
            await asyncio.gather(*hearing)
            for each in numbers:
                assert gaps(each) == Gaps(told=3, untold=0, superfluous=0)


async def _grown(lists: list[list[str]]) -> None:
    """Wait until each has a hundred more: what is told of a gap is followed by what came after it."""
    before = [len(each) for each in lists]
    while min(len(each) - was for each, was in zip(lists, before, strict=True)) < 100:
        await asyncio.sleep(0.01)


async def _losses(nodes: list[Gateway]) -> list[int]:
    return [node.program.output.count("nothing is heard of it") for node in nodes]


async def _say(url: str, channel: str) -> None:
    """Numbers, every few milliseconds, whatever becomes of them."""
    number = 0
    once = Retry(NoBackoff(), 0)
    async with Redis.from_url(url, socket_timeout=5, retry=once) as redis:
        while True:
            number += 1
            with suppress(RedisError, OSError):
                await redis.publish(channel, str(number))
            await asyncio.sleep(0.002)


async def _hear(client: ClientConnection, into: list[str]) -> None:
    while (message := str(await client.recv())) != "the end":
        into.append(message)


@pytest.mark.parametrize("nodes", [{"RELAY_GRACE_SECONDS": "4"}], indirect=True)
async def test_clients_of_a_redis_that_stays_away_are_closed_after_the_grace(
    nodes: list[Gateway], agent: Agent, own_valkey: ValkeyServer
) -> None:
    await agent.let_in()
    async with asyncio.timeout(30), agent.client(nodes[0]) as client:
        own_valkey.kill()
        await client.send('{"n":1}')  # within the grace, however long it took to kill
        assert (await heard(client))["code"] == "not_delivered"
        close = await closed(client)
        assert close.code == 4013
        wait_ms = re.search(r"in (\d+) ms", close.reason)
        assert wait_ms is not None
        assert 1000 <= int(wait_ms[1]) <= 10_000
