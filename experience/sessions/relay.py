"""The relay of one node: who may join a session, how its leg is opened, and how long it outlives Redis."""

from __future__ import annotations

import asyncio
import hmac
import logging
import random
from collections import deque
from contextlib import suppress
from typing import Any

from redis.exceptions import ResponseError

from experience.sessions import counts, names, stream, tokens
from experience.sessions.durable import DurableLeg
from experience.sessions.leg import SessionLeg
from experience.sessions.live import LiveLeg
from experience.settings import RELAY_GRACE_SECONDS, RELAY_MODE, RELAY_MODES, RELAY_REDIS_TIMEOUT_SECONDS
from proxy.api import (
    AuthenticationFailed,
    BadRequest,
    Close,
    CommandsAway,
    Credentials,
    Forbidden,
    GatewayError,
    NotFound,
    Principal,
    RedisCommands,
    Subject,
    Subscriber,
    SubscriberAway,
    SubscribeRefused,
    Workplace,
    child,
)

logger = logging.getLogger(__name__)

_SWEEP_SECONDS = 0.5
# Of those who have waited for too long, so many are closed at once, and others have their turn.
_ENDS_AT_ONCE, _ENDS_SECONDS = 100, 0.02
# Clients of durable sessions may all come back at once; what they are to get shares the connection of all.
_READS_AT_ONCE = 8
# Tokens that wait to be given back, and how long one may.
_MOST_RETURNS = 10_000
_RETURN_SECONDS = 60.0
# What a refusal waits for those: who is refused may show the token to another node within a millisecond.
_REFUSAL_SECONDS = 0.5


class RedisAway(GatewayError):
    """The sessions' Redis cannot be reached, or none is set."""

    status = 503
    close = Close(4013, "the sessions' Redis is away")
    code = "redis_away"
    message = "Sessions cannot be joined right now; try again."
    retry_after_seconds = 2.0


class RedisLost(RedisAway):
    """It has been away for too long. All clients of a node come back from that, and not all at once."""

    def __init__(self) -> None:
        super().__init__("for too long")
        self.retry_after_seconds = random.uniform(1, 10)  # noqa: S311  no secret


class RedisSlow(GatewayError):
    """Redis did not answer in time."""

    status = 504
    close = Close(1011, "the sessions' Redis does not answer")
    code = "redis_timeout"
    message = "No answer came in time."


class SinceNowhere(BadRequest):
    """What a client shows as its place is none."""

    message = "since must be that of a message of the session."


class Relay:
    """What all sessions of one node share. `lost`: legs to which Redis is lost at the moment."""

    def __init__(self, subscriber: Subscriber, commands: RedisCommands) -> None:
        self.subscriber, self.commands = subscriber, commands
        self.lost: set[SessionLeg] = set()
        self.reads = asyncio.Semaphore(_READS_AT_ONCE)
        self._returns: deque[tuple[str, str, float]] = deque()
        self._has_returns, self._has_none = asyncio.Event(), asyncio.Event()

    async def asked(self, *words: str | bytes | int) -> Any:
        """The answer to one command, within the time of one step."""
        return await self.commands(*words, within_seconds=RELAY_REDIS_TIMEOUT_SECONDS)

    # --- Who comes in -----

    async def authenticate(self, credentials: Credentials) -> Principal:
        """The holder of the session's token, which is still there for others who show it."""
        session_id = credentials.params["session_id"]
        if max(len(session_id), len(credentials.params["agent_id"])) > names.MOST_ID_CHARS:
            raise NotFound("the id is too long")
        since = credentials.query.get("since", "")
        if since and not stream.is_position(since):
            raise SinceNowhere
        if not credentials.token:
            raise AuthenticationFailed("no token", message="No token was sent.")
        stored = await self._step(self.asked("GET", names.auth_key(session_id)))
        if stored is None:
            raise AuthenticationFailed("no such session, or its token was used", message=_USED)
        if not hmac.compare_digest(stored, _raw(credentials.token)):
            raise Forbidden("another token", message="This is not the session's token.")
        # A name of its own kind: no user of a token's is to hear what is published to a session's holder.
        return Principal(user_id=f"session:{session_id}", token=credentials.token)

    async def open(self, subject: Subject) -> SessionLeg:
        """Take the token, then subscribe; what fails after that is told when the token is back."""
        if self.subscriber.is_away:
            raise RedisAway("the subscriber's connection is lost")
        try:
            return await self._open(subject)
        except (RedisAway, RedisSlow):
            with suppress(TimeoutError):
                async with asyncio.timeout(_REFUSAL_SECONDS):
                    await self._has_none.wait()
            raise

    async def _open(self, subject: Subject) -> SessionLeg:
        mode = await self._take(subject)
        leg = (DurableLeg if mode == "durable" else LiveLeg)(self, subject)
        try:
            await self._step(leg.begin())
        except BaseException:
            leg.abort()
            raise
        leg.log.info("session subscribed", extra={"session": leg.session_id, "mode": mode})
        return leg

    async def _take(self, subject: Subject) -> str:
        """The mode of the session, to the one who has its token now."""
        session_id, connection_id = subject.params["session_id"], subject.connection_id
        try:
            take = tokens.take(session_id, connection_id, _raw(subject.principal.token))
            mode = await self._step(self.asked(*take))
        except BaseException:  # it may be taken all the same
            self.give_back(session_id, connection_id)
            raise
        if mode is None:
            raise AuthenticationFailed("another was first", message=_USED)
        child(counts.TOKENS_TOTAL, "taken").inc()
        subject.log.info("session token taken", extra={"session": session_id})
        return _mode(mode, subject)

    async def _step(self, step: Any) -> Any:
        """What one step answers. Raises RedisAway, RedisSlow."""
        try:
            return await step
        except (CommandsAway, SubscriberAway) as error:
            raise RedisAway(f"away: {error}".removesuffix(": ")) from None
        except (
            SubscribeRefused,
            ResponseError,
        ) as error:  # no replica's, no wrong type's is the client's fault
            raise RedisAway(str(error)) from None
        except TimeoutError:
            raise RedisSlow("no answer") from None

    # --- What goes on beside -----

    def give_back(self, session_id: str, connection_id: str) -> None:
        """A handshake came to nothing that may have taken the token."""
        if len(self._returns) < _MOST_RETURNS:
            now = asyncio.get_running_loop().time()
            self._returns.append((session_id, connection_id, now + _RETURN_SECONDS))
            self._has_returns.set()
            self._has_none.clear()
        else:
            child(counts.TOKENS_TOTAL, "lost").inc()

    async def run(self) -> None:
        """Give tokens back, and end who has waited too long for Redis, until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._return_forever(), name="sessions:returns")
                tasks.create_task(self._sweep_forever(), name="sessions:sweep")
        finally:
            for session_id, connection_id, _ in self._returns:  # the last ones go with the node
                self.commands.tell(*tokens.give_back(session_id, connection_id))

    async def _return_forever(self) -> None:
        while True:
            await self._has_returns.wait()
            session_id, connection_id, until = self._returns[0]
            outcome = "given_back"
            try:
                returned = await self.asked(*tokens.give_back(session_id, connection_id))
            except (CommandsAway, TimeoutError, ResponseError) as error:
                may_help = not isinstance(error, ResponseError)
                if may_help and asyncio.get_running_loop().time() < until:
                    await asyncio.sleep(_SWEEP_SECONDS)
                    continue
                outcome, returned = "lost", True
            self._returns.popleft()
            if not self._returns:
                self._has_returns.clear()
                self._has_none.set()
            if returned:
                child(counts.TOKENS_TOTAL, outcome).inc()
                logger.info("session token given back", extra={"session": session_id, "outcome": outcome})

    async def _sweep_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            due = loop.time() - RELAY_GRACE_SECONDS
            waiting = [leg for leg in self.lost if leg.lost_at is not None and leg.lost_at < due]
            for number, leg in enumerate(waiting, 1):
                if leg in self.lost:
                    leg.end(RedisLost().as_close())
                if number % _ENDS_AT_ONCE == 0:
                    await asyncio.sleep(_ENDS_SECONDS)


_USED = "This session has no token, or it was used."


def _mode(written: bytes, subject: Subject) -> str:
    """What is written there, else what settings say: a slip of the agent's is told operators."""
    mode = written.decode(errors="replace")
    if mode in RELAY_MODES:
        return mode
    if mode:
        told = {"session": subject.params["session_id"], "expected": RELAY_MODES, "holds": RELAY_MODE}
        subject.log.warning("the mode of a session is none", extra=told)
    return RELAY_MODE


def _raw(token: str) -> bytes:
    return token.encode("utf-8", "surrogateescape")


class Sessions:
    """The relay of the node that runs in this process, once it does."""

    def __init__(self) -> None:
        self._relay: Relay | None = None
        self._has_begun = False
        self._waiters: list[asyncio.Future[None]] = []

    async def run(self, place: Workplace) -> None:
        """Background work of every node."""
        if place.subscriber is not None and place.commands is not None:
            self._relay = Relay(place.subscriber, place.commands)
        self._has_begun, waiters, self._waiters = True, self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        if self._relay is None:
            return
        try:
            await self._relay.run()
        finally:
            self._relay, self._has_begun = None, False

    async def authenticate(self, credentials: Credentials) -> Principal:
        return await (await self._there()).authenticate(credentials)

    async def open(self, subject: Subject) -> SessionLeg:
        return await (await self._there()).open(subject)

    async def _there(self) -> Relay:
        """Raises RedisAway where there is none: no REDIS_URL, or a node that ends."""
        if not self._has_begun:  # the first handshake of stock Daphne starts its node
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await asyncio.wait({waiter}, timeout=RELAY_REDIS_TIMEOUT_SECONDS)
        if self._relay is None:
            raise RedisAway("sessions need REDIS_URL")
        return self._relay
