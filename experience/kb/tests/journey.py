"""A short game from greeting to quest, as a client plays it: on the KB itself, or through the gateway."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

_numbers = itertools.count(1)


async def play(url: str, *, expect_events: bool = False, deadline_seconds: float = 20.0) -> None:
    """Play through every message of the protocol at `url` (token and experience included) and assert each.

    The token's user must have something left to collect. With `expect_events`, the state change must also
    arrive as an event, as it does through a gateway.

    Raises:
        AssertionError: an answer is not what docs/kb-protocol.md says.
        TimeoutError: an answer did not come.
    """
    async with asyncio.timeout(deadline_seconds), connect(url, proxy=None, compression=None) as socket:
        greeting = json.loads(await socket.recv())
        assert greeting["type"] == "connected", greeting
        assert set(greeting) == {"type", "connection_id", "user_id", "experience", "timestamp"}, greeting
        game = Game(socket)
        await game.pings()
        await game.collects_once()
        await game.talks()
        await game.survives_nonsense()
        if expect_events:
            await game.hears_of_the_change()


class Game:
    """One socket's play. Events may come between any two answers; they are kept aside in `events`."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.events: list[dict[str, Any]] = []
        self.version = 0

    async def ask(self, **fields: Any) -> dict[str, Any]:
        """The answer to one message, told from events by its request id."""
        request_id = f"r{next(_numbers)}"
        await self._socket.send(json.dumps({**fields, "request_id": request_id}))
        while (answer := await self._receive()).get("request_id") != request_id:
            self.events.append(answer)
        return answer

    async def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self._socket.recv())
        return message

    async def pings(self) -> None:
        pong = await self.ask(type="ping", timestamp=1_700_000_000_123)
        assert (pong["type"], pong["timestamp"]) == ("pong", 1_700_000_000_123), pong

    async def collects_once(self) -> None:
        before = await self.ask(type="get_state")
        assert before["type"] == "state", before
        assert before["world"]["items"], "the user has already collected everything"
        item = before["world"]["items"][0]
        collect = {
            "type": "action",
            "action": "collect_bottle",
            "item_id": item["item_id"],
            "spot_id": item["spot_id"],
        }
        collected = await self.ask(**collect)
        assert (collected["type"], collected["success"]) == ("action_response", True), collected
        assert collected["version"] == before["version"] + 1, collected
        again = await self.ask(**collect)
        assert (again["success"], again["code"]) == (False, "already_collected"), again
        unknown = await self.ask(**{**collect, "item_id": "nothing"})
        assert (unknown["success"], unknown["code"]) == (False, "unknown_item"), unknown
        after = await self.ask(type="get_state")
        assert item["item_id"] in [held["item_id"] for held in after["inventory"]], after
        assert after["quests"][0]["progress"] == before["quests"][0]["progress"] + 1, after
        self.version = collected["version"]

    async def talks(self) -> None:
        answer = await self.ask(type="action", action="talk", npc_id="wren", text="Good morning!")
        assert (answer["type"], answer["npc_id"]) == ("npc_response", "wren"), answer
        assert answer["text"], answer
        stranger = await self.ask(type="talk", npc_id="nobody")
        assert (stranger["success"], stranger["code"]) == (False, "unknown_npc"), stranger

    async def survives_nonsense(self) -> None:
        await self._socket.send("{ this is no JSON")
        while (answer := await self._receive())["type"] != "error":
            self.events.append(answer)
        assert answer["code"] == "invalid_json", answer
        unknown = await self.ask(type="dance")
        assert (unknown["type"], unknown["code"]) == ("error", "unknown_type"), unknown
        await self.pings()

    async def hears_of_the_change(self) -> None:
        while not any(self._is_the_change(event) for event in self.events):
            self.events.append(await self._receive())

    def _is_the_change(self, event: dict[str, Any]) -> bool:
        return bool(event["type"] == "state.changed" and event["version"] == self.version)
