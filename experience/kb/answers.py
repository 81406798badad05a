"""What a message is answered, however it came: the rules are in game.py, the words in protocol.py."""

from __future__ import annotations

import logging
import time
from functools import partial
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

from experience.kb import protocol
from experience.kb.announcer import Announcer, Change
from experience.kb.game import Collect, MoveRefused, Player, Talk, Turn
from experience.kb.handshake import Visit
from experience.kb.players import PlayersUnavailable
from proxy.api import user_topic

logger = logging.getLogger(__name__)


class PlayerStore(Protocol):
    """Where players are kept; `players.Players` is the one."""

    async def read(self, experience: str, user_id: str) -> Player: ...
    async def play(self, experience: str, user_id: str, move: Any, *, request_id: str = "") -> Turn: ...


class Answer(NamedTuple):
    """The message for the client, and what it is called over HTTP."""

    text: str
    status: HTTPStatus = HTTPStatus.OK


class Answers:
    """Answers one message after the other, and has changes announced."""

    def __init__(self, *, players: PlayerStore, announcer: Announcer) -> None:
        self._players, self._announcer = players, announcer

    async def answer(self, visit: Visit, message: str | bytes, *, action_id: str = "") -> Answer:
        """What the message is answered. A move that was made under the same `action_id` is not made again."""
        try:
            request = protocol.parse(message)
        except protocol.InvalidMessage as invalid:
            text = protocol.error(invalid.code, invalid.message, request_id=invalid.request_id)
            return Answer(text, HTTPStatus.BAD_REQUEST)
        try:
            return Answer(await self._fulfil(visit, request, action_id))
        except PlayersUnavailable as unavailable:
            logger.error("players unavailable", extra={"why": str(unavailable)})
            text = protocol.error(
                "unavailable", "Not now; get_state tells what was kept.", request_id=request.request_id
            )
            return Answer(text, HTTPStatus.SERVICE_UNAVAILABLE)

    async def _fulfil(self, visit: Visit, request: protocol.Request, action_id: str) -> str:
        content, request_id = request.content, request.request_id
        if isinstance(content, protocol.Ping):
            return protocol.pong(content, request_id=request_id, timestamp=now_milliseconds())
        if isinstance(content, protocol.GetState):
            player = await self._players.read(visit.world.name, visit.user_id)
            return protocol.state(visit.world, player, request_id=request_id)
        try:
            turn = await self._play(visit, content, action_id)
        except MoveRefused as refused:
            return protocol.move_refused(
                content, code=refused.code, message=refused.message, request_id=request_id
            )
        return protocol.turn_taken(visit.world, content, turn, request_id=request_id)

    async def _play(self, visit: Visit, move: Collect | Talk, action_id: str) -> Turn:
        turn = await self._players.play(
            visit.world.name, visit.user_id, partial(move.play, visit.world), request_id=action_id
        )
        if turn.changed:
            event = protocol.state_changed(visit.world, turn.player, timestamp=now_milliseconds())
            change = Change(visit.world.name, visit.user_id, turn.player.version)
            self._announcer.announce(user_topic(visit.user_id), event, change)
        return turn


def now_milliseconds() -> int:
    return time.time_ns() // 1_000_000
