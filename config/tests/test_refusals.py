"""Refusals as clients and operators see them, on a running gateway with bounds that are easily reached."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import InvalidStatus

from config.testing.gateway import Gateway, issue
from config.tests.conftest import MakeGateway


async def wait(upstream: ServerConnection) -> None:
    await upstream.wait_closed()


async def refused(gateway: Gateway, *, user: str) -> tuple[int, dict[str, object], str]:
    """Status, body and Retry-After of a refusal."""
    with pytest.raises(InvalidStatus) as error:
        async with gateway.connect(gateway.url(token=issue(user))):
            pass
    response = error.value.response
    return response.status_code, json.loads(response.body or b""), response.headers["Retry-After"]


async def closed(gateway: Gateway, *, user: str) -> tuple[int | None, str]:
    """Code and reason with which a client is closed that asks for `?refuse=close`."""
    async with gateway.connect(gateway.url(token=issue(user), refuse="close")) as client:
        await client.wait_closed()
    return client.close_code, client.close_reason or ""


async def test_a_cap_says_which_bound_it_is_and_when_to_come_back(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(MAX_CONNECTIONS_PER_USER="1")
    async with gateway.serving(wait), asyncio.timeout(20), gateway.connect(gateway.url(token=issue("ada"))):
        status, body, retry_after = await refused(gateway, user="ada")
        assert (status, retry_after) == (429, "5")
        assert body == {
            "code": "too_many",
            "message": "Too many connections of one user: at most 1.",
            "retry_after_ms": 5000,
            "bound": "per_user",
        }
        assert await closed(gateway, user="ada") == (
            4013,
            "too many connections of one user, at most 1; retry in 5000 ms",
        )


async def test_a_rate_says_so_too(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(CONNECT_RATE_PER_IP="2/m")
    async with gateway.serving(wait), asyncio.timeout(20):
        for user in ("ada", "bob"):
            async with gateway.connect(gateway.url(token=issue(user))):
                pass
        status, body, retry_after = await refused(gateway, user="carol")
        assert (status, body["bound"]) == (429, "rate_per_ip")
        assert body["message"] == "Too many new connections of one address: at most 2/m."
        assert 0 < int(str(body["retry_after_ms"])) <= int(retry_after) * 1000
        code, reason = await closed(gateway, user="carol")
    assert code == 4013
    assert re.fullmatch(r"too many new connections of one address, at most 2/m; retry in \d+ ms", reason)


async def test_a_node_that_is_switched_off_names_a_time_as_well(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(WEBSOCKET_ENABLED="false")
    async with asyncio.timeout(20):
        assert await closed(gateway, user="ada") == (4013, "disabled; retry in 30000 ms")
