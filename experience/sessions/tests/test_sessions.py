"""A session as its agent and its viewer see it, on both ways that frames flow."""

from __future__ import annotations

import asyncio
import json

from redis.asyncio import Redis
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from config.testing.gateway import Gateway, issue
from experience.sessions.tests.conftest import Agent, closed, refused, until


async def test_what_the_agent_says_reaches_the_client_in_order_text_as_text_and_the_rest_as_binary(
    agent: Agent, gateway: Gateway, redis: Redis
) -> None:
    async with asyncio.timeout(20), agent.joined() as client:
        said: list[str | bytes] = ['{"n":1}', "no JSON", "ünïcode", b"\xff\x00", *map(str, range(1000))]
        if gateway.kind == "serve":  # stock Daphne has no empty messages
            said.insert(2, "")
        for message in said:
            assert await agent.say(message) == 1
        assert [await client.recv() for _ in said] == said
        await until(lambda: redis.keys(f"session:{agent.session}:*"), [])
    await until(agent.hearers, 0)


async def test_what_the_client_says_reaches_the_agent_in_order_and_a_ping_is_answered_here(
    agent: Agent,
) -> None:
    async with asyncio.timeout(20), agent.joined() as client:
        for number in range(200):
            await client.send(json.dumps({"n": number}))
        await client.send('{"type":"ping"}')
        await client.send(b'{"n":200}')
        assert [await agent.hear() for _ in range(201)] == [{"n": number} for number in range(201)]
        assert await client.recv() == '{"type":"pong"}'


async def test_what_is_no_json_or_too_large_is_answered_and_the_socket_kept(
    agent: Agent, gateway: Gateway
) -> None:
    no_json: list[str | bytes] = ["{", "NaN", b"\xff", "[" * 999, *([""] if gateway.kind == "serve" else [])]
    async with asyncio.timeout(20), agent.joined() as client:
        for message in no_json:
            await client.send(message)
            assert json.loads(await client.recv())["code"] == "invalid_json"
        await client.send('"' + "x" * 999 + '"')
        assert json.loads(await client.recv())["code"] == "too_large"
        await client.send('{"n":1}')
        assert await agent.hear() == {"n": 1}
        await client.send('"' + "x" * 4000 + '"')
        assert (await closed(client)).code == (1009 if gateway.kind == "serve" else 4909)


async def test_a_token_lets_one_client_in_once(agent: Agent, gateway: Gateway) -> None:
    async with asyncio.timeout(20):
        await refused(gateway, agent.client(), status=401, code="authentication_failed")
        await agent.let_in()
        await refused(gateway, agent.client(token=""), status=401, code="authentication_failed")
        for wrong in ("another", agent.token + "x", issue()):
            await refused(gateway, agent.client(token=wrong), status=403, code="forbidden")
        async with agent.client():
            await refused(gateway, agent.client(), status=401, code="authentication_failed")
        await refused(gateway, agent.client(), status=401, code="authentication_failed")


async def test_the_token_may_come_by_query_or_sub_protocol(agent: Agent) -> None:
    async with asyncio.timeout(20):
        await agent.let_in()
        async with connect(agent.url(token=agent.token), proxy=None) as client:
            assert await agent.say("a") == 1
            assert await client.recv() == "a"
        await agent.let_in()
        protocols = [Subprotocol("bearer"), Subprotocol(agent.token)]
        async with connect(agent.url(), subprotocols=protocols, proxy=None) as client:
            assert client.subprotocol == "bearer"


async def test_an_id_of_another_alphabet_or_length_is_not_found(gateway: Gateway) -> None:
    too_long = "s" * 129
    wrong = ("a/ws/s.t", "a/ws/s%2ft", "a/ws/s:t", "a/ws/", "/ws/s", "a/b/ws/s")
    async with asyncio.timeout(20):
        for path in (*wrong, f"a/ws/{too_long}", f"{too_long}/ws/s"):
            url = f"ws://127.0.0.1:{gateway.port}/{path}?token=some-token"
            await refused(gateway, connect(url, proxy=None), status=404, code="not_found")


async def test_events_to_a_session_and_a_kick_reach_its_client(agent: Agent, gateway: Gateway) -> None:
    async with asyncio.timeout(30), agent.joined() as client:
        await asyncio.to_thread(gateway.manage, "publish", f"session:{agent.session}", '{"type":"event"}')
        assert await client.recv() == '{"type":"event"}'
        await asyncio.to_thread(gateway.manage, "kick", "--user", f"session:{agent.session}")
        assert (await closed(client)).code == 4001


async def test_each_step_of_a_session_has_a_log_line_and_none_a_token(agent: Agent, gateway: Gateway) -> None:
    async with asyncio.timeout(20):
        async with agent.joined():
            pass
        await refused(gateway, agent.client(), status=401, code="authentication_failed")
        await agent.let_in()
        wrong = agent.client(token="a-wrong-token-of-somebody")
        await refused(gateway, wrong, status=403, code="forbidden")
        for line in ("session token taken", "session subscribed", "session unsubscribed"):
            await asyncio.to_thread(gateway.program.wait_for_output, line)
    assert agent.token not in gateway.program.output
    assert "a-wrong-token" not in gateway.program.output
