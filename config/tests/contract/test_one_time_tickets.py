"""One-time tickets on two nodes that share a Valkey: issued on either, taken on either, once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from config.testing.gateway import Gateway, issue
from config.testing.servers import ValkeyServer
from config.tests.conftest import MakeGateway

pytestmark = [pytest.mark.timeout(120), pytest.mark.long]

Nodes = tuple[Gateway, Gateway]


async def echo(socket: ServerConnection) -> None:
    """The service: says first with what it was asked."""
    assert socket.request is not None
    await socket.send(socket.request.path)
    with suppress(ConnectionClosed):
        async for message in socket:
            await socket.send(message)


@pytest.fixture
async def kb(nodes: Nodes) -> AsyncIterator[None]:
    async with nodes[0].serving(echo):
        yield


async def ask(node: Gateway, body: dict[str, Any], *, token: str = "") -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
        by = {"Authorization": f"Bearer {token or issue()}"}
        return await http.post(f"http://127.0.0.1:{node.port}/api/tickets", json=body, headers=by)


async def buy(node: Gateway, route: str = "experience", *, token: str = "", **more: str) -> str:
    answer = await ask(node, {"route": route, **more}, token=token)
    assert answer.status_code == HTTPStatus.CREATED, answer.text
    ticket: str = answer.json()["ticket"]
    return ticket


async def come_in(node: Gateway, ticket: str, *, token: str | None = None) -> ClientConnection | str:
    """The open socket; or the code with which it was refused."""
    try:
        return await node.connect(node.url(token=token, ticket=ticket)).__aenter__()
    except InvalidStatus as refused:
        code: str = json.loads(refused.response.body or b"{}")["code"]
        return code


async def test_a_ticket_bought_on_one_node_opens_one_socket_on_another_which_has_its_token(
    nodes: Nodes, kb: None
) -> None:
    one, two = nodes
    token = issue("ada")
    async with asyncio.timeout(60):
        ticket = await buy(one, token=token)
        client = await come_in(two, ticket)
        assert isinstance(client, ClientConnection)
        asked = parse_qs(urlsplit(str(await client.recv())).query)
        assert asked == {"token": [token], "experience": ["wylding-woods"]}
        assert [await come_in(node, ticket) for node in (two, one)] == ["ticket_refused"] * 2
        renew = {"type": "gateway.refresh", "token": issue("ada", minutes=90)}
        await client.send(json.dumps(renew))
        assert json.loads(await client.recv())["type"] == "gateway.refreshed"
        await client.send(json.dumps({**renew, "token": issue("bob")}))
        assert json.loads(await client.recv())["code"] == "invalid_token"
        await client.close()
        (row,) = await one.wait_for_records("user_id = 'ada' AND closed_at IS NOT NULL")
        assert row["route"] == "experience"


async def test_of_two_sockets_that_race_with_one_ticket_exactly_one_wins_fifty_times(
    nodes: Nodes, kb: None
) -> None:
    one, two = nodes
    async with asyncio.timeout(100):
        for turn in range(50):
            ticket = await buy(nodes[turn % 2], token=issue(f"user-{turn}"))
            met = await asyncio.gather(come_in(one, ticket), come_in(two, ticket))
            (winner,) = [each for each in met if isinstance(each, ClientConnection)]
            assert [each for each in met if each is not winner] == ["ticket_refused"]
            await winner.close()


async def test_what_a_ticket_was_not_bought_for_it_does_not_open(
    nodes: Nodes, kb: None, valkey: ValkeyServer
) -> None:
    one, two = nodes
    async with asyncio.timeout(60), Redis.from_url(valkey.url) as redis:
        assert await come_in(two, await buy(one, "studio")) == "ticket_refused"
        assert await come_in(two, await buy(one, address="192.0.2.1")) == "ticket_refused"
        assert await come_in(two, await buy(one), token=issue()) == "ticket_refused"
        old = await buy(one)
        for key in await redis.keys("gateway:ticket:*"):
            await redis.pexpire(key, 1)
        while await redis.keys("gateway:ticket:*"):
            await asyncio.sleep(0)
        assert await come_in(two, old) == "ticket_refused"
        near = await come_in(two, await buy(one, address="caller"))
        assert isinstance(near, ClientConnection)
        await near.close()
        async with two.connect(two.url(token=None, ticket=old, refuse="close")) as told:
            await told.wait_closed()
        assert (told.close_code, told.close_reason) == (4010, "fetch a new ticket")
        _, metrics = await two.get("/metrics")
    counted = 'gateway_websocket_tickets_total{outcome="%s",route="experience"} %s'
    assert counted % ("used", "1.0") in metrics
    assert counted % ("refused", "5.0") in metrics
    for reason, times in {"gone": 2, "route": 1, "address": 1, "conflicting": 1}.items():
        assert f'auth_failures_total{{reason="ticket_{reason}"}} {times}.0' in metrics


async def test_while_redis_is_away_tickets_are_neither_issued_nor_taken(
    nodes: Nodes, kb: None, valkey: ValkeyServer
) -> None:
    one, two = nodes
    async with asyncio.timeout(60):
        ticket = await buy(one)
        valkey.kill()
        answer = await ask(one, {"route": "experience"})
        assert (answer.status_code, answer.json()["code"]) == (503, "tickets_unavailable")
        assert answer.headers["Retry-After"] == "2"
        assert await come_in(two, ticket) == "tickets_unavailable"
        valkey.start()  # and it remembers nothing
        while (met := await come_in(two, ticket)) == "tickets_unavailable":
            await asyncio.sleep(0.1)
        assert met == "ticket_refused"


async def test_who_finds_the_gateway_full_keeps_the_ticket(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(MAX_CONNECTIONS="1")
    async with gateway.serving(echo) as url, asyncio.timeout(40):
        ticket = await buy(gateway)
        async with gateway.connect(url) as other:
            await other.recv()
            assert await come_in(gateway, ticket) == "overloaded"
        while (met := await come_in(gateway, ticket)) == "overloaded":
            await asyncio.sleep(0.05)
        assert isinstance(met, ClientConnection)
        await met.close()


async def test_whoever_is_moved_to_another_route_is_moved_with_a_ticket_too(
    make_gateway: MakeGateway,
) -> None:
    gateway = make_gateway(V2_SHARE="100")
    async with asyncio.timeout(40):
        client = await come_in(gateway, await buy(gateway))
        assert isinstance(client, ClientConnection)
        await client.close()
        (row,) = await gateway.wait_for_records("closed_at IS NOT NULL")
        assert row["route"] == "experience-v2"
        assert await come_in(gateway, (await buy(gateway)).partition(".")[0]) == "ticket_refused"


@pytest.mark.parametrize("kind", ["serve", "daphne"])
async def test_no_ticket_reaches_a_log_a_record_a_metric_or_the_service(
    make_gateway: MakeGateway, kind: str
) -> None:
    gateway, asked = make_gateway(kind, LOG_LEVEL="DEBUG"), []

    async def note(socket: ServerConnection) -> None:
        assert socket.request is not None
        asked.append(socket.request.path)
        await echo(socket)

    async with gateway.serving(note), asyncio.timeout(40):
        tickets = [await buy(gateway) for _ in range(4)]
        bare, *others = tickets
        for shown in (bare, bare, f"{bare}x"):
            with suppress(InvalidStatus):
                async with gateway.connect(
                    gateway.url(token=None, ticket=shown), user_agent_header=f"ticket={shown}"
                ):
                    pass
        with suppress(InvalidStatus):  # two at once
            url = gateway.url(token=None, ticket=others[0]) + f"&ticket={others[1]}&refuse=close"
            async with gateway.connect(url) as told:
                await told.wait_closed()
                assert told.close_reason == "authentication failed" * (kind == "serve")
        await gateway.get(f"/health?ticket={others[2]}")
        if kind == "serve":  # stock Daphne has an access log of its own
            await gateway.get(f"/ws/experience%3Fticket%3D{others[2]}")
        rows = await gateway.wait_for_records("closed_at IS NOT NULL")
        while len(refusals := gateway.rows("SELECT * FROM proxy_refusal")) < 3:
            await asyncio.sleep(0.05)
        _, metrics = await gateway.get("/metrics")
    assert {row["cause"] for row in refusals} == {"ticket_gone", "ticket_conflicting"}
    assert "link opened" in gateway.program.output
    assert len(asked) == 1
    for ticket in tickets:
        for seen in (gateway.program.output, str(rows), str(refusals), metrics, *asked):
            assert ticket not in seen
