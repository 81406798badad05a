"""Every client on every route of every server, as the first of a fresh node and as the second.

The nodes have the settings that nobody changed. Behind them is an echo, or a Socket.IO server.
"""

from __future__ import annotations

import json

import pytest

from config.testing.publisher import Publisher
from config.tests.clients.client import Client, Closed, Opened, Refused, running
from config.tests.clients.conftest import Cell
from config.tests.clients.node import Node, new_user
from config.tests.clients.programs import BINARY, FRAGMENTS, KINDS, LONG_TEXT, STATUS, Kind

pytestmark = [pytest.mark.clients, pytest.mark.timeout(120)]

PATHS = ("/ws/experience", "/ws/v1/experience", "/ws", "/websocket", "/socket.io/")
TEXT, RAW = "ünïcödé 🎮", b"\x00\xff\xfe bytes"
LONG, LONGEST = 70_000, 900_000


def every_cell(server: str) -> pytest.MarkDecorator:
    """Socket.IO's client speaks a protocol of its own, so that its place is on one route only."""
    cells = [
        Cell(server=server, path=path, kind=kind)
        for path in PATHS
        for kind in KINDS
        if kind.name != "socketio" or path == "/socket.io/"
    ]
    return pytest.mark.parametrize("node", cells, ids=str, indirect=True)


class Plays:
    """Two plays a node."""

    async def test_the_first_client_of_a_fresh_node_plays(
        self, node: Node, publisher: Publisher, kind: Kind
    ) -> None:
        await play(node, publisher, kind)

    async def test_the_second_client_of_a_fresh_node_plays(
        self, node: Node, publisher: Publisher, kind: Kind
    ) -> None:
        if node.played == 0:  # this test runs alone
            async with running(kind, node.places) as first:
                assert await first.open(node.url(new_user())) == Opened()
        await play(node, publisher, kind)


@every_cell("serve")
class TestServe(Plays):
    """The product's own server."""


@every_cell("daphne")
class TestDaphne(Plays):
    """Stock Daphne."""


async def play(node: Node, publisher: Publisher, kind: Kind) -> None:
    """All that a client can do on one link, its end, and what it hears when its token is forged."""
    node.played += 1
    user = new_user()
    async with running(kind, node.places) as client:
        assert await client.open(node.url(user)) == Opened()
        await exchange_texts_and_binaries(client, node)
        await exchange_large_messages(client)
        await exchange_fragments(client)
        await hear_an_event_in_between(client, node, publisher, user)
        await hear_a_kick(client, node, user)
        await hear_a_refusal(client, node, user)


async def exchange_texts_and_binaries(client: Client, node: Node) -> None:
    assert await client.ask(TEXT) == TEXT
    if BINARY not in client.kind.cannot:
        assert await client.ask(RAW) == RAW
    await client.send("")
    if node.is_spliced or client.kind.name == "socketio":  # stock Daphne loses what is empty
        assert await client.hear() == ""
    assert await client.ask("after nothing") == "after nothing"


async def exchange_large_messages(client: Client) -> None:
    for size in (LONG, LONGEST):
        assert await client.ask(f"please send {size}") == "x" * size
        if LONG_TEXT not in client.kind.cannot:
            text = "".join(chr(0x61 + at % 26) for at in range(size))
            assert await client.ask(text) == text
        if BINARY not in client.kind.cannot:
            raw = bytes(at * 7919 >> 4 & 0xFF for at in range(size))
            assert await client.ask(raw) == raw


async def exchange_fragments(client: Client) -> None:
    if client.kind.name == "socketio":  # messages of its own protocol, which nobody sends in fragments
        return
    assert await client.ask("please send fragments") == "fragmentsé"
    if FRAGMENTS not in client.kind.cannot:
        await client.send_fragments("one, ", "", "two and ", "x" * LONG)
        assert await client.hear() == "one, two and " + "x" * LONG


async def hear_an_event_in_between(client: Client, node: Node, publisher: Publisher, user: str) -> None:
    assert await client.ask("before the event") == "before the event"
    await publisher.publish(f"user:{user}", {"type": "quest.updated", "stage": "fönd"})
    text = '{"type":"quest.updated","stage":"fönd"}'
    wrapped = node.speaks_socketio and client.kind.name != "socketio"  # who does not speak it sees it raw
    assert await client.hear() == (f'42["message",{text}]' if wrapped else text)
    assert await client.ask("after the event") == "after the event"


async def hear_a_kick(client: Client, node: Node, user: str) -> None:
    reason = "Bitte neu starten ☂"
    speaks = client.kind.name == "socketio"
    await node.kick(user, reason)
    if node.speaks_socketio and not speaks:  # who does not speak it sees how a session ends for good
        said = json.dumps({"type": "gateway.closed", "code": 4001, "reason": reason}, separators=(",", ":"))
        assert [await client.hear() for _ in range(3)] == [f'42["message",{said}]', "41", "1"]
    # Daphne drops the reason of any close frame.
    assert await client.hear() == Closed(4001, reason if node.is_spliced or speaks else "")


async def hear_a_refusal(client: Client, node: Node, user: str) -> None:
    forged = node.forged_url(user)
    status = None if STATUS in client.kind.cannot else node.unauthenticated_status
    assert await client.open(forged) == Refused(status)
    if STATUS in client.kind.cannot:  # so it may ask to be told by a close
        assert await client.open(f"{forged}&refuse=close") == Opened()
        closed = await client.hear()
        assert isinstance(closed, Closed)
        assert closed.code == node.told(1008)
        assert "eyJ" not in closed.reason  # how every JSON Web Token begins
