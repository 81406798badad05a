"""A route's own policy, link by link: it keeps state, answers, replaces, drops and closes, on both ways."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from config.testing.gateway import Gateway, issue
from config.tests.contract.conftest import KINDS
from config.tests.contract.test_handshake import check


@pytest.fixture(params=KINDS, scope="module")
def gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    routes = {"ROUTES": "config.tests.contract.policed.ROUTES"}
    with Gateway.running(request.param, tmp_path_factory.mktemp("gateway"), routes) as gateway:
        yield gateway


async def echo(service: ServerConnection) -> None:
    with suppress(ConnectionClosed):
        async for message in service:
            await service.send(message)


@asynccontextmanager
async def linked(
    gateway: Gateway, path: str = "/policed", *, user: str = "7"
) -> AsyncIterator[ClientConnection]:
    """A client before a service that says everything back."""
    async with asyncio.timeout(20), gateway.serving(echo):
        async with gateway.connect(gateway.url(path, token=issue(user))) as client:
            yield client


async def heard(client: ClientConnection) -> Any:
    return json.loads(await client.recv())


async def test_a_policy_answers_drops_and_puts_another_message_in_place(gateway: Gateway) -> None:
    async with linked(gateway) as client:
        for text in ("no JSON", '{"type":"typing"}', '{"type":"say","text":"grüezi","from":"somebody"}'):
            await client.send(text)
        assert (await heard(client))["message"] == "A message is a JSON object."
        assert await heard(client) == {"type": "say", "text": "grüezi", "from": "7"}
        await client.send([b'{"type":"', b'binary"}'])
        assert (await heard(client))["type"] == "error"


async def test_a_policy_looks_at_the_service_as_well(gateway: Gateway) -> None:
    noted = asyncio.Queue[str | bytes]()

    async def talk(service: ServerConnection) -> None:
        for message in ('{"type":"internal"}', '{"type":"say","trace":"10.0.0.1"}', b"\x00\xff"):
            await service.send(message)
        noted.put_nowait(await service.recv())
        await service.wait_closed()

    async with asyncio.timeout(20), gateway.serving(talk):
        async with gateway.connect(gateway.url("/policed")) as client:
            assert await heard(client) == {"type": "say"}
            assert await client.recv() == b"\x00\xff"
            assert await noted.get() == '{"type":"noted"}'


async def test_each_link_has_a_policy_of_its_own_that_counts_its_errors(gateway: Gateway) -> None:
    async with linked(gateway) as client, gateway.connect(gateway.url("/policed")) as other:
        for each in (client, other):
            for _ in range(4 if each is other else 6):
                await each.send("no JSON")
        for _ in range(5):
            assert (await heard(client))["type"] == "error"
        await client.wait_closed()
        assert client.close_code == 4400
        await other.send('{"type":"say"}')
        while (await heard(other))["type"] == "error":
            pass
        assert other.close_code is None


async def test_what_a_policy_logs_names_its_link(gateway: Gateway) -> None:
    async with linked(gateway, user="unmannerly") as client:
        for _ in range(6):
            await client.send("no JSON")
        await client.wait_closed()
    (row,) = await gateway.wait_for_records("user_id = 'unmannerly' AND closed_at IS NOT NULL")
    assert (row["close_code"], row["closed_by"]) == (4400, "gateway")
    logged = [line for line in gateway.program.output.splitlines() if "makes too many errors" in line]
    named = [(line["route"], line["connection_id"], line["user_id"]) for line in map(json.loads, logged)]
    assert ("policed", row["id"], "unmannerly") in named


async def test_a_policy_is_not_asked_about_what_the_rate_does_not_let_in(gateway: Gateway) -> None:
    async with linked(gateway, "/slow", user="hasty") as client:
        for text in ['{"type":"say"}'] * 3 + ["no JSON"] * 20:
            await client.send(text)
        told = [await heard(client) for _ in range(4)]
        assert sorted(each.get("code", each["type"]) for each in told) == [
            "rate_limited",
            "say",
            "say",
            "say",
        ]
        assert client.close_code is None
    (row,) = await gateway.wait_for_records("user_id = 'hasty' AND closed_at IS NOT NULL")
    assert row["messages_dropped"] > 0


async def test_a_client_that_leaves_while_it_is_not_read_is_noticed_behind_what_it_said(
    gateway: Gateway,
) -> None:
    said = asyncio.Queue[str | bytes]()

    async def note(service: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            async for message in service:
                said.put_nowait(message)
                await service.send(message)

    async with asyncio.timeout(20), gateway.serving(note):
        async with gateway.connect(gateway.url("/patient", token=issue("resting"))) as client:
            await client.send("rest")
            assert await client.recv() == "rest"  # only what comes behind it waits
            await client.send("more")
            client.transport.abort()
        (row,) = await gateway.wait_for_records("user_id = 'resting' AND closed_at IS NOT NULL")
        assert (row["messages_in"], row["closed_by"]) == (2, "client")
        assert [await said.get(), await said.get()] == ["rest", "more"]


async def test_who_is_not_let_in_when_its_policy_is_made_is_refused(gateway: Gateway) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with gateway.connect(gateway.url("/policed", **{"as": "nobody"})):
            pass
    check(gateway, refused.value.response, 403, "forbidden")
