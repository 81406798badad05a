"""A session's side of a link: what both kinds of sessions have in common."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from redis.exceptions import ResponseError

from experience.sessions import counts, messages, names, tokens
from experience.settings import RELAY_MAX_MESSAGE_BYTES, RELAY_OUTBOX_BYTES, RELAY_REDIS_TIMEOUT_SECONDS
from proxy.api import (
    ClientSide,
    Close,
    ClosedBy,
    CommandsAway,
    PushingLeg,
    RedisCommands,
    Subject,
    Subscriber,
    Subscription,
    child,
    payload_bytes,
)

BACKPRESSURE_BYTES = RELAY_OUTBOX_BYTES // 2


class Relay(Protocol):
    """What all sessions of a node share."""

    commands: RedisCommands
    subscriber: Subscriber
    lost: set[SessionLeg]  # to which Redis is lost at the moment
    reads: asyncio.Semaphore  # for each read of a stream

    async def asked(self, *words: str | bytes | int) -> Any: ...
    def give_back(self, session_id: str, connection_id: str) -> None: ...


class SessionLeg(PushingLeg):
    """From the moment in which it holds the token to the end of its link; it listens to its session."""

    __slots__ = (
        "_holds_token", "_is_over", "_is_refused", "_is_slow", "_subscription",
        "client", "connection_id", "log", "lost_at", "relay", "session_id",
    )  # fmt: skip

    def __init__(self, relay: Relay, subject: Subject) -> None:
        self.relay, self.log = relay, subject.log
        self.session_id, self.connection_id = subject.params["session_id"], subject.connection_id
        self.client: ClientSide | None = None  # once it is accepted
        self.lost_at: float | None = None  # on the loop's clock: since when Redis is lost to it
        self._subscription: Subscription | None = None
        self._holds_token = True
        self._is_slow = self._is_over = self._is_refused = False

    async def begin(self) -> None:
        """Subscribe, before the accept. Raises SubscriberAway, SubscribeRefused, TimeoutError."""
        channel = names.down_channel(self.session_id)
        within = RELAY_REDIS_TIMEOUT_SECONDS
        self._subscription = await self.relay.subscriber.subscribe(channel, self, within_seconds=within)

    # --- What each kind does in its way -----

    def heard(self, channel: bytes, payload: bytes) -> None:
        """The agent has published something."""
        raise NotImplementedError

    def found_again(self) -> None:
        """Redis is back, after a loss."""
        raise NotImplementedError

    def may_push(self) -> None:
        """The client is accepted."""
        raise NotImplementedError

    async def pass_on(self, message: str | bytes) -> None:
        """Bring a message of the client to the agent. Raises CommandsAway, TimeoutError, ResponseError."""
        raise NotImplementedError

    # --- Told by the subscriber -----

    def confirmed(self) -> None:
        if self.lost_at is not None:
            self.lost_at = None
            self.relay.lost.discard(self)
            self.found_again()

    def lost(self) -> None:
        if self.lost_at is None:
            self.lost_at = asyncio.get_running_loop().time()
            self.relay.lost.add(self)

    def watch_outbox(self, client: ClientSide) -> None:
        """Tell operators, once for each time, of a client that may soon be closed."""
        if client.buffered_bytes <= BACKPRESSURE_BYTES // 2:  # not around the bound itself
            self._is_slow = False
        elif client.buffered_bytes > BACKPRESSURE_BYTES and not self._is_slow:
            self._is_slow = True
            self.log.warning("backpressure: half of the outbox is full", extra={"session": self.session_id})

    # --- Told by the link -----

    def joined(self, client: ClientSide) -> None:
        self.client, self._holds_token = client, False
        self.relay.commands.tell(*tokens.spend(self.session_id, self.connection_id))
        self.may_push()

    async def send(self, message: str | bytes) -> None:
        answer = await self._answer_to(message)
        if answer is not None and self.client is not None:
            self.client.push(answer)

    async def _answer_to(self, message: str | bytes) -> str | None:
        """What the client is told of its message; None: it was passed on."""
        if payload_bytes(message) > RELAY_MAX_MESSAGE_BYTES:
            return _mistake("too_large", messages.too_large(RELAY_MAX_MESSAGE_BYTES))
        try:
            if messages.is_ping(message):
                return messages.PONG
        except ValueError:
            return _mistake("invalid_json", messages.INVALID_JSON)
        try:
            await self.pass_on(message)
        except (CommandsAway, TimeoutError):
            return _mistake("not_delivered", messages.NOT_DELIVERED)
        except ResponseError as error:
            self._tell_refused(error)
            return _mistake("not_delivered", messages.NOT_DELIVERED)
        return None

    def _tell_refused(self, error: ResponseError) -> None:
        """Tell operators, once for each link, why Redis takes no message: it is full, or a replica."""
        if not self._is_refused:
            why, _, _ = str(error).partition(", with args")  # behind which Redis may quote the message
            told = {"session": self.session_id, "why": why}
            self.log.warning("Redis refuses what a client says to its agent", extra=told)
        self._is_refused = True

    def end(self, close: Close) -> None:
        """Close the client; its handshake ends by itself."""
        if self.client is not None:
            self.client.end(close, ClosedBy.GATEWAY)

    def abort(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        self.relay.lost.discard(self)
        if self._subscription is not None:
            self._subscription.close()
            self.log.info("session unsubscribed", extra={"session": self.session_id})
        if self._holds_token:
            self.relay.give_back(self.session_id, self.connection_id)


def _mistake(code: str, answer: str) -> str:
    child(counts.ERRORS_TOTAL, code).inc()
    return answer
