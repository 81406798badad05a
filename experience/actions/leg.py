"""The far end of a link of the session service: answers what it can, and asks the KB for the rest."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Protocol

from experience.actions.client import Action, Unanswered
from experience.kb import protocol
from experience.kb.handshake import SUBPROTOCOL
from proxy.api import Leg, Principal, Subject, payload_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LegLimits:
    """Bounds of one link. `most_waiting` messages, or `most_waiting_bytes` of them and one more, may wait for
    their turn; then no more are read.

    `action_seconds`: from when a message was read to its answer, the wait for its turn included.
    `max_message_bytes`: what the KB takes; more is answered with an error, and neither kept nor parsed.
    """

    most_waiting: int = 16
    most_waiting_bytes: int = 128 * 1024
    action_seconds: float = 5.0
    max_message_bytes: int = 64 * 1024


# One of a client; None in the place of one that is too large, and is not kept.
Message = str | bytes | None


class AsksKb(Protocol):
    """What answers actions; `client.ActionClient` is the one."""

    async def ask(self, action: Action) -> str: ...


class Waiting:
    """What waits for its turn, with when it is due: bounded, between one task that puts and one that takes.

    An asyncio.Queue in its place would weigh 3.3 KB a link more.
    """

    __slots__ = ("_bytes", "_has_changed", "_items", "_most", "_most_bytes")

    def __init__(self, most: int, *, most_bytes: int) -> None:
        self._most, self._most_bytes, self._bytes = most, most_bytes, 0
        self._items: list[tuple[Message, float]] = []
        self._has_changed: asyncio.Future[None] | None = None  # of the one who waits: both never do

    async def put(self, message: Message, due: float) -> None:
        while len(self._items) >= self._most or self._bytes >= self._most_bytes:
            await self._change()
        self._items.append((message, due))
        self._bytes += _kept_bytes(message)
        self._changed()

    async def take(self) -> tuple[Message, float]:
        while not self._items:
            await self._change()
        oldest = self._items.pop(0)
        self._bytes -= _kept_bytes(oldest[0])
        self._changed()
        return oldest

    async def _change(self) -> None:
        self._has_changed = asyncio.get_running_loop().create_future()
        await self._has_changed

    def _changed(self) -> None:
        if self._has_changed is not None and not self._has_changed.done():
            self._has_changed.set_result(None)


class ActionLeg(Leg):
    """Speaks the KB's protocol to one client. One message after the other is answered, in order.

    It has no task: the link asks for the next message, and that is the answer of the next one that waits.
    """

    __slots__ = (
        "_asked",
        "_asking",
        "_connection_id",
        "_experience",
        "_greeting",
        "_kb",
        "_limits",
        "_subprotocol",
        "_token",
        "_waiting",
    )

    def __init__(self, subject: Subject, kb: AsksKb, limits: LegLimits) -> None:
        self._kb, self._limits = kb, limits
        self._connection_id, self._experience = subject.connection_id, subject.query["experience"]
        self._token = subject.principal.token
        self._waiting = Waiting(limits.most_waiting, most_bytes=limits.most_waiting_bytes)
        self._asked = 0
        # What the KB is asked: asked again, under the same id, by who comes after a `receive` that was
        # cancelled.
        self._asking: Action | None = None
        self._greeting: str | None = protocol.connected(
            connection_id=self._connection_id,
            user_id=subject.principal.user_id,
            experience=self._experience,
            timestamp=now_milliseconds(),
        )
        self._subprotocol = SUBPROTOCOL if SUBPROTOCOL in subject.subprotocols else None

    @property
    def subprotocol(self) -> str | None:
        return self._subprotocol

    def refreshed(self, principal: Principal) -> None:
        self._token = principal.token

    async def send(self, message: str | bytes) -> None:
        due = asyncio.get_running_loop().time() + self._limits.action_seconds
        fits = payload_bytes(message) <= self._limits.max_message_bytes
        await self._waiting.put(message if fits else None, due)

    async def receive(self) -> str:
        if self._greeting is not None:
            greeting, self._greeting = self._greeting, None
            return greeting
        if self._asking is None:
            answer = self._answer_at_once(*await self._waiting.take())
            if answer is not None:
                return answer
        return await self._ask()

    def _answer_at_once(self, message: Message, due: float) -> str | None:
        """The answer that needs no KB; None: it is to be asked now."""
        if message is None:
            told = f"A message is at most {self._limits.max_message_bytes} bytes."
            return protocol.error("request_entity_too_large", told)
        try:
            envelope = protocol.unfold(message)
            ping = envelope.ping()
        except protocol.InvalidMessage as invalid:
            return protocol.error(invalid.code, invalid.message, request_id=invalid.request_id)
        if ping is not None:
            return protocol.pong(ping, request_id=envelope.request_id, timestamp=now_milliseconds())
        self._asking = self._action(str(message), due, envelope.request_id)
        return None

    async def _ask(self) -> str:
        """The KB's answer. May be cancelled without loss."""
        assert self._asking is not None  # noqa: S101  who calls has seen to it
        action = self._asking
        try:
            answer = await self._kb.ask(action)
        except Unanswered as unanswered:
            answer = protocol.error(unanswered.code, unanswered.message, request_id=action.request_id)
        self._asking = None
        return answer

    def _action(self, body: str, due: float, request_id: str | None) -> Action:
        self._asked += 1
        return Action(
            id=f"{self._connection_id}.{self._asked}",
            request_id=request_id,
            body=body,
            experience=self._experience,
            token=self._token,
            due=due,
        )


def now_milliseconds() -> int:
    return time.time_ns() // 1_000_000


def _kept_bytes(message: Message) -> int:
    return 0 if message is None else payload_bytes(message)
