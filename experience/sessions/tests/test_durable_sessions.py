"""Durable sessions: clients that come and go, and a Redis that does, under numbered messages."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from config.testing.gateway import Gateway
from config.testing.servers import ValkeyServer
from experience.sessions.tests.conftest import Agent, DurableAgent, closed, heard, made, refused, until

pytestmark = pytest.mark.long

KEPT = 2000


@pytest.fixture(params=["serve", "daphne"], scope="module")
def gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, valkey_server: ValkeyServer
) -> Iterator[Gateway]:
    valkey_server.ensure_running()
    directory = tmp_path_factory.mktemp("gateway")
    gateway = made(request.param, directory, valkey_server, RELAY_KEEP_MESSAGES=str(KEPT))
    yield gateway
    gateway.close()


@pytest.fixture
async def durable(gateway: Gateway, redis: Redis) -> DurableAgent:
    agent = DurableAgent(redis, gateway)
    await agent.become_durable()
    return agent


async def test_it_begins_behind_what_there_is_and_each_message_says_where_it_stands(
    durable: DurableAgent,
) -> None:
    before = await durable.add('{"n":0}')
    async with asyncio.timeout(20), durable.joined() as client:
        assert await heard(client) == {"type": "gateway.recovered", "recovered": True, "since": before}
        said: list[str | bytes] = [
            '{"n":1, "a":[1]}',
            "{}",
            " [1] ",
            "no JSON",
            b"\xff\x00",
            '{"type":"event"} ',
        ]
        ids = [await durable.add(message) for message in said]
        assert [await heard(client) for _ in said] == [
            {"n": 1, "a": [1], "since": ids[0]},
            {"since": ids[1]},
            {"type": "gateway.message", "since": ids[2], "data": [1]},
            {"type": "gateway.message", "since": ids[3], "text": "no JSON"},
            {"type": "gateway.message", "since": ids[4], "base64": "/wA="},
            {"type": "event", "since": ids[5]},
        ]


async def test_a_client_that_comes_and_goes_gets_each_message_once_and_in_order(
    durable: DurableAgent,
) -> None:
    numbers, since = list[int](), (await durable.add('{"n":0}'))
    adding = asyncio.create_task(_add(durable, 1500))
    async with asyncio.timeout(60):
        while not numbers or numbers[-1] < 1500:
            await durable.let_in()
            async with durable.client(since=since) as client:
                assert await heard(client) == {"type": "gateway.recovered", "recovered": True, "since": since}
                for _ in range(random.randrange(200)):
                    message = await heard(client)
                    numbers.append(message["n"])
                    since = message["since"]
                    if message["n"] == 1500:
                        break
                client.transport.abort()  # gone without a word, with more under way
        await adding
    assert numbers == list(range(1, 1501))


async def _add(agent: DurableAgent, count: int) -> None:
    for number in range(1, count + 1):
        await agent.add(json.dumps({"n": number}))
        if number % 20 == 0:
            await asyncio.sleep(0.01)


async def test_what_was_removed_meanwhile_is_told_and_the_rest_comes(durable: DurableAgent) -> None:
    since = await durable.add('{"n":0}')
    for number in range(1, 10):
        await durable.add(json.dumps({"n": number}))
    await durable.redis.xtrim(durable.down, maxlen=5, approximate=False)
    async with asyncio.timeout(20):
        await durable.let_in()
        async with durable.client(since=since) as client:
            assert await heard(client) == {"type": "gateway.recovered", "recovered": False, "since": since}
            assert [(await heard(client))["n"] for _ in range(5)] == list(range(5, 10))


async def test_a_stream_holds_as_many_as_it_may(durable: DurableAgent, redis: Redis) -> None:
    async with asyncio.timeout(40), durable.joined() as client:
        await heard(client)
        await _add(durable, KEPT + 300)
        assert [(await heard(client))["n"] for _ in range(KEPT + 300)] == list(range(1, KEPT + 301))
        await durable.add("{}")
        await heard(client)
        assert await redis.xlen(durable.down) <= KEPT + 1


async def test_what_is_too_old_goes_and_the_rest_lives_its_time_though_nobody_reads_on(
    durable: DurableAgent, redis: Redis
) -> None:
    up, too_old = f"session:{durable.session}:up", f"{int(time.time() - 3700) * 1000}-0"
    await redis.xadd(durable.down, {"message": '{"n":0}'}, id=too_old)
    await redis.xadd(up, {"message": "{}"}, id=too_old)
    async with asyncio.timeout(20), durable.joined(since="0-0") as client:
        await heard(client)
        assert (await heard(client))["n"] == 0  # it was there
        await redis.xadd(durable.down, {"message": '{"n":1}'})
        await durable.say("")
        assert (await heard(client))["n"] == 1
        assert await redis.xlen(durable.down) == 1
        # Without a word of its agent's: what it adds now is kept an hour, too, whoever reads it or not.
        assert 7100 < await redis.ttl(durable.down) <= 7200
        await redis.expire(durable.down, 9000)  # an agent's own will
        await durable.say("")
        await client.send('{"n":2}')
        await until(lambda: _numbers(redis, up), [2])
    assert 8900 < await redis.ttl(durable.down) <= 9000
    assert 3500 < await redis.ttl(up) <= 3600


async def _numbers(redis: Redis, stream: str) -> list[int]:
    entries: Any = await redis.xrange(stream)
    return [json.loads(fields[b"message"]).get("n") for _, fields in entries]


async def test_what_clients_say_waits_for_an_agent_that_is_away(durable: DurableAgent, redis: Redis) -> None:
    up = f"session:{durable.session}:up"
    async with asyncio.timeout(20), durable.joined() as client:
        for number in range(100):
            await client.send(json.dumps({"n": number}))
        await until(lambda: redis.xlen(up), 100)
    assert await _numbers(redis, up) == list(range(100))


async def test_a_stream_that_is_begun_again_is_read_from_its_beginning_whatever_its_ids(
    durable: DurableAgent,
) -> None:
    now = int(time.time() * 1000)  # entries of another time would be too old to keep
    async with asyncio.timeout(20), durable.joined() as client:
        await heard(client)
        for later in (100, 200):
            await durable.add('{"life":1}', id_=f"{now + later}-0")
            assert await heard(client) == {"life": 1, "since": f"{now + later}-0"}
        await durable.redis.delete(durable.down)
        for later in (10, 20):
            await durable.add('{"life":2}', id_=f"{now + later}-0")
            assert await heard(client) == {"life": 2, "since": f"{now + later}-0"}


async def test_a_message_that_no_client_may_be_sent_is_left_out_and_told(durable: DurableAgent) -> None:
    async with asyncio.timeout(20), durable.joined() as client:
        await heard(client)
        ids = [await durable.add(message) for message in ('"' + "x" * 5000 + '"', '{"n":1}')]
        assert await heard(client) == {"type": "gateway.message", "since": ids[0], "too_large": 5002}
        assert await heard(client) == {"n": 1, "since": ids[1]}


async def test_a_since_that_is_none_is_refused(durable: DurableAgent, gateway: Gateway) -> None:
    async with asyncio.timeout(20):
        await durable.let_in()
        for since in ("yesterday", "\u0661-\u0661", "1-1\n"):
            await refused(gateway, durable.client(since=since), status=400, code="bad_request")


async def test_a_key_that_is_no_stream_is_a_503_and_costs_no_token(
    durable: DurableAgent, gateway: Gateway, redis: Redis
) -> None:
    async with asyncio.timeout(20):
        await redis.set(durable.down, "a text")
        await durable.let_in()
        await refused(gateway, durable.client(), status=503, code="redis_away")
        assert await redis.exists(f"session:{durable.session}:auth")


async def test_a_client_that_reads_slowly_gets_all_that_is_kept(durable: DurableAgent) -> None:
    """More than its outbox holds: what waits, waits in the stream."""
    since, padding = await durable.add("{}"), "x" * 900
    for start in range(0, KEPT - 10, 10):
        async with durable.redis.pipeline(transaction=False) as several:
            for number in range(start, start + 10):
                several.xadd(durable.down, {"message": json.dumps({"n": number, "p": padding})})
            await several.execute()
    async with asyncio.timeout(60):
        await durable.let_in()
        async with durable.client(since=since, max_queue=1) as client:
            assert (await heard(client))["recovered"]
            for number in range(KEPT - 10):
                assert (await heard(client))["n"] == number


async def test_one_read_that_is_more_than_an_outbox_holds_closes_nobody(
    tmp_path: Path, redis: Redis, valkey: ValkeyServer
) -> None:
    gateway = await asyncio.to_thread(made, "serve", tmp_path, valkey, RELAY_OUTBOX_BYTES="50000")
    texts = [f"{number} " + 500 * "\x01" for number in range(100)]  # each of which is six bytes on the way
    try:
        agent = DurableAgent(redis, gateway)
        await agent.become_durable()
        for text in texts:
            await redis.xadd(agent.down, {"message": text})
        async with asyncio.timeout(30), agent.joined(since="0-0") as client:
            assert (await heard(client))["recovered"]
            assert [(await heard(client))["text"] for _ in texts] == texts
    finally:
        await asyncio.to_thread(gateway.close)


async def test_nothing_is_missing_after_a_redis_that_was_silent_and_what_a_restart_lost_is_told(
    tmp_path: Path, own_valkey: ValkeyServer
) -> None:
    gateway = await asyncio.to_thread(made, "serve", tmp_path, own_valkey, RELAY_REDIS_TIMEOUT_SECONDS="1")
    try:
        async with Redis.from_url(own_valkey.url) as redis, asyncio.timeout(60):
            agent = DurableAgent(redis, gateway)
            await agent.become_durable()
            async with agent.joined() as client:
                await heard(client)
                await redis.client_kill_filter(_type="pubsub")  # its subscription is lost, and made anew
                await _add(agent, 200)
                await until(agent.hearers, 1)
                assert [(await heard(client))["n"] for _ in range(200)] == list(range(1, 201))
                own_valkey.freeze()
                adding = asyncio.create_task(agent.add('{"n":201}'))
                await asyncio.sleep(1.5)  # it is silent for so long
                own_valkey.ensure_running()
                await adding
                assert (await heard(client))["n"] == 201
                own_valkey.kill()
                own_valkey.start()
                assert (await heard(client))["recovered"] is False
                await redis.connection_pool.disconnect()
                await agent.add('{"n":1}')
                assert (await heard(client))["n"] == 1
                await asyncio.to_thread(own_valkey.stop)
                gateway.stop()
                assert (await closed(client)).code == 1001
    finally:
        await asyncio.to_thread(gateway.close)


async def test_a_mode_that_is_none_is_told_operators_and_the_settings_hold(
    agent: Agent, gateway: Gateway, redis: Redis
) -> None:
    await redis.set(f"session:{agent.session}:mode", "Durable")
    async with asyncio.timeout(20), agent.joined() as client:
        await agent.say("live")
        assert await client.recv() == "live"
        await asyncio.to_thread(gateway.program.wait_for_output, "the mode of a session is none")


async def test_who_comes_back_to_a_session_that_is_durable_no_more_is_told_that_something_may_be_missing(
    durable: DurableAgent, redis: Redis
) -> None:
    since = await durable.add('{"n":0}')
    await redis.delete(f"session:{durable.session}:mode")
    async with asyncio.timeout(20), durable.joined(since=since) as client:
        assert await heard(client) == {"type": "gateway.recovered", "recovered": False, "since": since}
        await durable.say("live")
        assert await client.recv() == "live"


async def test_operators_are_told_once_and_in_its_words_why_redis_takes_no_message(
    durable: DurableAgent, gateway: Gateway, redis: Redis
) -> None:
    await redis.set(f"session:{durable.session}:up", "no stream")
    async with asyncio.timeout(20), durable.joined() as client:
        assert (await heard(client))["recovered"]
        for _ in range(2):
            await client.send("1")
            assert (await heard(client))["code"] == "not_delivered"
    lines = [line for line in gateway.program.output.splitlines() if "Redis refuses what a client" in line]
    (told,) = [line for line in map(json.loads, lines) if line["session"] == durable.session]
    assert "WRONGTYPE" in told["why"]
