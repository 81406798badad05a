"""Every client on a fresh node before the reference services: a turn of the game, a word with the studio."""

from __future__ import annotations

import json
from typing import Any

import pytest

from config.tests.clients.client import Client, Closed, Opened, running
from config.tests.clients.conftest import Cell
from config.tests.clients.node import Node, new_user
from config.tests.clients.programs import FRAGMENTS, KINDS, LONG_TEXT, Kind

pytestmark = [pytest.mark.clients, pytest.mark.timeout(120)]

COLLECT = {
    "type": "action",
    "action": "collect_bottle",
    "item_id": "bottle_of_mist",
    "spot_id": "mill_pond",
    "request_id": "collecting",
}


def every_client(server: str) -> pytest.MarkDecorator:
    """Without socket.io-client, whose service is the matrix's own."""
    cells = [Cell(server=server, path="", kind=kind) for kind in KINDS if kind.name != "socketio"]
    return pytest.mark.parametrize("node", cells, ids=str, indirect=True)


class Plays:
    """One client, two services."""

    async def test_a_client_plays_the_game_and_talks_to_the_studio(self, node: Node, kind: Kind) -> None:
        async with running(kind, node.places) as client:
            await play_the_game(client, node)
            await talk_to_the_studio(client, node)


@every_client("serve")
class TestServe(Plays):
    """The product's own server."""


@every_client("daphne")
class TestDaphne(Plays):
    """Stock Daphne."""


async def play_the_game(client: Client, node: Node) -> None:
    user = new_user()
    assert await client.open(node.url(user, path="/ws/experience")) == Opened()
    greeting = await hear(client)
    assert (greeting["type"], greeting["user_id"]) == ("connected", user)
    assert (await ask(client, {"type": "ping", "timestamp": 7}))["timestamp"] == 7
    if FRAGMENTS not in client.kind.cannot:
        await client.send_fragments('{"type":', ' "get_state",', ' "request_id": "é"}')
        assert (await hear(client))["request_id"] == "é"
    await client.send(json.dumps(COLLECT))
    heard = [await hear(client), await hear(client)]  # the answer, and the event of the same change
    assert {said["type"]: said["version"] for said in heard} == {"action_response": 1, "state.changed": 1}
    await leave(client)


async def talk_to_the_studio(client: Client, node: Node) -> None:
    user = new_user()
    assert await client.open(node.url(user, path="/ws")) == Opened()
    passed_on = await ask(client, {"type": "whoami"})
    assert passed_on["headers"]["x-user-id"] == user
    assert "token" not in dict(passed_on["query"])
    assert await ask(client, {"type": "heartbeat"}) == {"type": "ack"}
    if LONG_TEXT not in client.kind.cannot:
        long = {"notes": "é" * 70_000}
        assert (await ask(client, long))["message"] == long
    await leave(client)


async def ask(client: Client, request: dict[str, Any]) -> dict[str, Any]:
    await client.send(json.dumps(request))
    return await hear(client)


async def hear(client: Client) -> dict[str, Any]:
    heard = await client.hear()
    assert isinstance(heard, str), heard
    message: dict[str, Any] = json.loads(heard)
    return message


async def leave(client: Client) -> None:
    """The client closes, and sees that it was heard."""
    await client.close(1000, "bye")
    closed = await client.hear()
    assert isinstance(closed, Closed), closed
    assert closed.code == 1000
