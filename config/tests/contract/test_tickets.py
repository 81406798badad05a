"""A route that finds out by itself who its clients are, and has a leg of its own; docs/routes.md shows it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosedOK, InvalidStatus

from config.testing.gateway import Gateway, issue
from config.tests.contract.conftest import KINDS
from config.tests.contract.test_handshake import check

# A user, and a ticket for each of two, of whom the second is not active.
MADE = """
from django.contrib.auth.models import User
from config.tests.contract.tickets import TICKETS
for name in ("ada", "bob"):
    user = User.objects.create_user(name, is_active=name == "ada")
    print("ticket", TICKETS.sign(user.pk))
"""


@pytest.fixture(params=KINDS, scope="module")
def gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    routes = {"ROUTES": "config.tests.contract.tickets.ROUTES"}
    with Gateway.running(request.param, tmp_path_factory.mktemp("gateway"), routes) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def tickets(gateway: Gateway) -> list[str]:
    printed = gateway.manage("shell", "-c", MADE).stdout
    return [line.split()[1] for line in printed.splitlines() if line.startswith("ticket ")]


def url(gateway: Gateway, ticket: str) -> str:
    return f"ws://127.0.0.1:{gateway.port}/echo?token={ticket}"


async def test_who_shows_a_ticket_is_its_user_and_the_leg_closes_as_it_says(
    gateway: Gateway, tickets: list[str]
) -> None:
    ticket, _ = tickets
    async with asyncio.timeout(20), gateway.connect(url(gateway, ticket)) as client:
        for message in ("tea", b"\x00"):
            await client.send(message)
            assert await client.recv() == message
        await client.send('{"type":"gateway.refresh","token":"x"}')
        assert json.loads(await client.recv())["code"] == "unknown_control"
        await client.send("bye")
        with pytest.raises(ConnectionClosedOK):
            await client.recv()
    assert (client.close_code, client.close_reason) == (1000, "bye" if gateway.kind == "serve" else "")
    (row,) = await gateway.wait_for_records(
        f"user_id = '{ticket.partition(':')[0]}' AND closed_at IS NOT NULL"
    )
    assert (row["closed_by"], row["upstream"], row["path"]) == ("upstream", "echo", "/echo")


@pytest.mark.parametrize("shown", ["none", "forged", "of somebody who has left"])
async def test_who_shows_no_ticket_of_an_active_user_is_told_what_the_route_says(
    gateway: Gateway, tickets: list[str], shown: str
) -> None:
    ticket = {"none": "", "forged": issue(), "of somebody who has left": tickets[1]}[shown]
    with pytest.raises(InvalidStatus) as refused:
        await gateway.connect(url(gateway, ticket)).__aenter__()
    check(gateway, refused.value.response, 401, "authentication_failed")
