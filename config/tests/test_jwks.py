"""Public keys of an issuer, against a running gateway: rotation, an issuer that is away, invented key ids."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import InvalidStatus

from config.testing.gateway import Gateway
from config.testing.issuer import Issuer
from config.tests.conftest import MakeGateway


@pytest.fixture(params=["RS256", "ES256"])
def issuer(request: pytest.FixtureRequest) -> Iterator[Issuer]:
    issuer = Issuer(request.param)
    yield issuer
    issuer.close()


async def wait(upstream: ServerConnection) -> None:
    await upstream.wait_closed()


async def outcome(gateway: Gateway, token: str) -> str:
    """`accepted`, or the code of the refusal."""
    try:
        async with gateway.connect(gateway.url(token=token)):
            return "accepted"
    except InvalidStatus as refused:
        return str(json.loads(refused.response.body or b"")["code"])


async def until(gateway: Gateway, token: str, wanted: str) -> set[str]:
    """Try until the outcome is `wanted`; answers what it was before."""
    before = set()
    while (found := await outcome(gateway, token)) != wanted:
        before.add(found)
        await asyncio.sleep(0.1)
    return before


def with_keys_of(issuer: Issuer) -> dict[str, str]:
    return {"JWT_ALGORITHM": issuer.algorithm, "JWT_JWKS_URL": issuer.url, "JWT_SIGNING_KEY": ""}


async def test_a_rotated_key_is_taken_and_its_first_tokens_are_told_to_come_back(
    make_gateway: MakeGateway, issuer: Issuer
) -> None:
    gateway = make_gateway(**with_keys_of(issuer))
    async with gateway.serving(wait), asyncio.timeout(100):
        old = issuer.token()
        assert await until(gateway, old, "accepted") <= {"keys_unavailable"}
        issuer.rotate()
        new = issuer.token()
        assert await until(gateway, new, "accepted") == {"keys_unavailable"}
        assert await outcome(gateway, old) == "accepted"
        forged = issuer.token(serial=7, kid="k0")
        assert await outcome(gateway, forged) == "authentication_failed"


async def test_an_issuer_that_is_away_costs_nobody_whose_key_is_known(
    make_gateway: MakeGateway, issuer: Issuer
) -> None:
    issuer.status = 500
    gateway = make_gateway(**with_keys_of(issuer))
    async with gateway.serving(wait), asyncio.timeout(100):
        assert await outcome(gateway, issuer.token()) == "keys_unavailable"
        await gateway.wait_until_ready(tokens=False)
        issuer.status = 200
        await until(gateway, issuer.token(), "accepted")
        await gateway.wait_until_ready(tokens=True)
        issuer.status = 500
        issuer.rotate()
        assert await outcome(gateway, issuer.token()) == "keys_unavailable"
        assert await outcome(gateway, issuer.token(serial=0)) == "accepted"


async def test_a_crowd_that_waits_for_a_start_is_served_and_not_sent_away_for_want_of_keys(
    make_gateway: MakeGateway, issuer: Issuer
) -> None:
    issuer.answers.clear()
    gateway = make_gateway(**with_keys_of(issuer))
    async with gateway.serving(wait), asyncio.timeout(60), asyncio.TaskGroup() as clients:
        first = clients.create_task(outcome(gateway, issuer.token()))
        while not issuer.calls:
            await asyncio.sleep(0.01)
        await asyncio.wait({first}, timeout=0.5)
        assert not first.done()
        issuer.answers.set()
        assert await first == "accepted"


async def test_an_issuer_that_hangs_keeps_no_node_from_starting(
    make_gateway: MakeGateway, issuer: Issuer
) -> None:
    issuer.answers.clear()
    gateway = make_gateway(**with_keys_of(issuer))
    async with gateway.serving(wait), asyncio.timeout(60):
        assert await outcome(gateway, issuer.token()) == "keys_unavailable"
        issuer.answers.set()
        await until(gateway, issuer.token(), "accepted")


async def test_invented_key_ids_cost_neither_the_issuer_nor_anybody_else(
    make_gateway: MakeGateway, issuer: Issuer
) -> None:
    gateway = make_gateway(**with_keys_of(issuer))
    async with gateway.serving(wait), asyncio.timeout(100):
        await until(gateway, issuer.token(), "accepted")
        calls = issuer.calls
        for number in range(100):
            invented = issuer.token(kid=f"invented-{number}")
            assert await outcome(gateway, invented) in {"keys_unavailable", "authentication_failed"}
        assert await outcome(gateway, issuer.token()) == "accepted"
    assert issuer.calls - calls <= 6
