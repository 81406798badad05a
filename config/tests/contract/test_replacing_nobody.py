"""Where the oldest link of a user gives way to a newer one, a handshake that is refused costs no link."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Request, Response

from config.testing.gateway import Gateway
from config.testing.servers import ValkeyServer
from config.tests.conftest import MakeGateway

pytestmark = [pytest.mark.timeout(120), pytest.mark.long]

SETTINGS = {
    "ROUTES": "config.tests.contract.guarded.ROUTES",
    "MAX_CONNECTIONS_PER_USER": "2",
    "CONNECTION_CAP_POLICY": "replace_oldest",
}


class Service:
    """Says everything back; who comes as `unwelcome` is refused, who comes as `slow` waits for ever, and who
    comes as `late` until `ready`."""

    def __init__(self) -> None:
        self.comes_as, self.dialled, self.ready = "", asyncio.Event(), asyncio.Event()

    async def decide(self, connection: ServerConnection, _: Request) -> Response | None:
        comes_as = self.comes_as
        self.dialled.set()
        if comes_as == "slow":
            await asyncio.Event().wait()
        if comes_as == "late":
            await self.ready.wait()
        if comes_as == "unwelcome":
            return connection.respond(HTTPStatus.CONFLICT, "")
        return None

    async def echo(self, connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            async for message in connection:
                await connection.send(message)


@pytest.fixture
async def service() -> Service:
    return Service()


async def still_there(link: ClientConnection) -> None:
    await link.send("still there?")
    assert await link.recv() == "still there?"


async def refused(gateway: Gateway, comes_as: str, **options: Any) -> int:
    with pytest.raises(InvalidStatus) as refused:
        async with gateway.connect(gateway.url("/guarded", **{"as": comes_as}), **options):
            pass
    return refused.value.response.status_code


@pytest.mark.parametrize("redis", ["with redis", "without redis"])
async def test_only_a_link_that_is_let_in_replaces_another_of_its_user(
    make_gateway: MakeGateway, valkey: ValkeyServer, service: Service, redis: str
) -> None:
    gateway = make_gateway(**SETTINGS, **({"REDIS_URL": valkey.url} if redis == "with redis" else {}))
    if redis == "with redis":
        await asyncio.to_thread(gateway.program.wait_for_output, "limits hold for all nodes together")
    serving = gateway.serving(service.echo, process_request=service.decide)
    async with asyncio.timeout(60), serving, AsyncExitStack() as held:
        url = gateway.url("/guarded")
        first, second = [await held.enter_async_context(gateway.connect(url)) for _ in range(2)]
        assert await refused(gateway, "nobody") == 403, "by the route's authorize"
        assert await refused(gateway, "stranger") == 403, "by its policy"
        service.comes_as = "unwelcome"
        assert await refused(gateway, "unwelcome") == 502, "by the service"
        service.comes_as = "slow"
        assert await refused(gateway, "slow") == 504, "by nobody in time"
        service.dialled.clear()
        leaving = asyncio.create_task(refused(gateway, "slow"))
        await service.dialled.wait()
        leaving.cancel()
        await asyncio.wait([leaving])
        for link in (first, second):
            await still_there(link)

        service.comes_as = ""
        newest = await held.enter_async_context(gateway.connect(url))
        await first.wait_closed()
        assert (first.close_code, first.close_reason) == (4009, "replaced by a newer connection")
        for link in (second, newest):
            await still_there(link)


async def test_a_link_that_ends_as_it_opens_replaces_nobody(
    make_gateway: MakeGateway, service: Service
) -> None:
    gateway = make_gateway(**SETTINGS, DIAL_TIMEOUT_SECONDS="30")
    elsewhere = {"local_addr": ("127.0.0.2", 0)}
    serving = gateway.serving(service.echo, process_request=service.decide)
    async with asyncio.timeout(60), serving, AsyncExitStack() as held:
        url = gateway.url("/guarded")
        links = [await held.enter_async_context(gateway.connect(url)) for _ in range(2)]
        service.comes_as = "late"
        service.dialled.clear()
        entering = asyncio.create_task(held.enter_async_context(gateway.connect(url, **elsewhere)))
        await service.dialled.wait()
        block = ("block", "--network", "127.0.0.2", "--for-good", "--reason", "spam")
        await asyncio.to_thread(gateway.manage, *block)
        service.comes_as = "unwelcome"
        while await refused(gateway, "unwelcome", **elsewhere) != 403:  # the node knows of it
            await asyncio.sleep(0.1)
        service.ready.set()
        late = await entering
        await late.wait_closed()
        assert late.close_code == 4003
        for link in links:
            await still_there(link)
