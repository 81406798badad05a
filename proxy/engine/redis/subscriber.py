"""One connection to a Redis for all in this process who want to hear what is published there.

redis-py's costs some 30 µs a message, more than all the rest of a delivery; hiredis' reader takes two.
Channels and patterns are counted by who listens: the first listener subscribes, the last one that goes
unsubscribes at once. There is no connection before somebody listens. When it is lost, or silent, it is made
anew after waits that grow, all that is wanted is subscribed to again, and each listener is told of both; what
was published in between is lost, as Pub/Sub has it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Any, NoReturn

from proxy import metrics
from proxy.core import backoff
from proxy.engine.redis.address import RedisAddress
from proxy.engine.redis.channels import (
    Channel,
    Channels,
    Listener,
    SubscriberAway,
    SubscribeRefused,
    told,
)
from proxy.engine.redis.connection import SAYS_AWAY, Connection

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
# After so much silence the Redis is asked whether it is there; after so much it is not.
PING_SECONDS = 3.0
SILENCE_SECONDS = 8.0
_FIRST_DELAY_SECONDS = 0.1
_LONGEST_DELAY_SECONDS = 3.0
_STEADY_SECONDS = 10.0

_CONFIRMATIONS = frozenset({b"subscribe", b"unsubscribe", b"psubscribe", b"punsubscribe"})


class Subscription:
    """One listener's wish to hear one channel or pattern."""

    __slots__ = ("_channel", "_subscriber")

    def __init__(self, subscriber: Subscriber, channel: Channel) -> None:
        self._subscriber, self._channel = subscriber, channel

    @property
    def is_confirmed(self) -> bool:
        """Whether everything is heard now."""
        return self._channel.is_confirmed and self in self._channel.listeners

    def close(self) -> None:
        """Hear nothing more, from now on; again, it does nothing."""
        self._subscriber._leave(self, self._channel)


class Subscriber:
    """Subscriptions to one Redis. `run()` in the background; until then nobody is heard."""

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._channels = Channels()
        self._connection: Connection | None = None
        self._refusal = ""  # what the Redis said as it took no more commands
        self._is_wanted = asyncio.Event()
        self._flush_handle: asyncio.Handle | None = None
        # Known to be unreachable, so that nobody has to wait to be told.
        self.is_away = False
        self._messages = 0  # that are not in the metrics yet

    @property
    def count(self) -> int:
        """How many channels and patterns there are listeners of."""
        return self._channels.count

    def listen(self, name: str | bytes, listener: Listener, *, is_pattern: bool = False) -> Subscription:
        """Have `listener` hear a channel, or what matches a pattern, whenever Redis is there.

        It is told when that begins, and of every gap.
        """
        channel = self._channels.want(_encoded(name), is_pattern=is_pattern)
        subscription = Subscription(self, channel)
        is_first = not channel.listeners
        channel.listeners[subscription] = listener
        if is_first:
            metrics.PUBSUB_CHANNELS.inc()
            self._is_wanted.set()
            self._ask_soon()
        elif channel.is_confirmed:
            asyncio.get_running_loop().call_soon(_tell_confirmed, subscription, listener)
        return subscription

    async def subscribe(
        self, name: str | bytes, listener: Listener, *, within_seconds: float, is_pattern: bool = False
    ) -> Subscription:
        """As `listen`, once Redis has confirmed: what is published after that is heard.

        Raises:
            SubscriberAway: Redis cannot be reached, or was lost meanwhile.
            SubscribeRefused: it lets us not.
            TimeoutError: it did not answer in time.
        """
        if self.is_away:
            raise SubscriberAway
        subscription = self.listen(name, listener, is_pattern=is_pattern)
        channel = subscription._channel
        try:
            if not channel.is_confirmed:
                waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                channel.waiters = [*(channel.waiters or ()), waiter]
                async with asyncio.timeout(within_seconds):
                    await waiter
        except BaseException:
            subscription.close()
            raise
        return subscription

    def _leave(self, subscription: Subscription, channel: Channel) -> None:
        if channel.listeners.pop(subscription, None) is not None and not channel.listeners:
            metrics.PUBSUB_CHANNELS.dec()
            self._channels.give_up(channel)
            self._ask_soon()

    # --- The connection -----

    async def run(self) -> NoReturn:
        """Be connected while anybody listens, until cancelled."""
        loop = asyncio.get_running_loop()
        delays = backoff.delays(_FIRST_DELAY_SECONDS, longest_seconds=_LONGEST_DELAY_SECONDS)
        try:
            while True:
                await self._is_wanted.wait()
                began = loop.time()
                try:
                    await self._hear()
                except (OSError, TimeoutError) as error:  # LoginRefused, what TLS says, a name unknown
                    self._away(f"{type(error).__name__}: {error}")
                if loop.time() - began > _STEADY_SECONDS:
                    delays = backoff.delays(_FIRST_DELAY_SECONDS, longest_seconds=_LONGEST_DELAY_SECONDS)
                await asyncio.sleep(backoff.jittered(next(delays), fraction=0.5, random=random.random()))  # noqa: S311
        finally:
            self._away("")
            if self._flush_handle is not None:
                self._flush_handle.cancel()

    async def _hear(self) -> None:
        """One connection, to its end. Raises OSError, TimeoutError: there is none, or it is silent."""
        async with asyncio.timeout(CONNECT_SECONDS):
            connection = await Connection.open(self._address, take=self._take, on_room=self._ask_soon)
        try:
            self._connection, self._refusal = connection, ""
            self._channels.begin_anew()
            self._ask()
            if self.is_away:
                self.is_away = False
                logger.warning("Redis is back: subscribed anew", extra={"channels": self.count})
            await self._until_lost(connection)
        finally:
            self._count()
            self._connection = None
            connection.close()
        raise ConnectionError(self._refusal or "the connection was lost")

    async def _until_lost(self, connection: Connection) -> None:
        """Wait for the end of a connection. Raises TimeoutError once it has been silent for too long, which
        does not count how long this process stood still itself."""
        loop, went_on_at = asyncio.get_running_loop(), 0.0
        while not connection.lost.done():
            began = loop.time()
            silent_seconds = began - max(connection.heard_at, went_on_at)
            if silent_seconds > SILENCE_SECONDS:
                connection.abort()
                raise TimeoutError(f"nothing was heard for {SILENCE_SECONDS:g} s")
            if silent_seconds >= PING_SECONDS:
                connection.send("PING")
            await asyncio.wait({connection.lost}, timeout=PING_SECONDS)
            if loop.time() - began > 2 * PING_SECONDS:
                went_on_at = loop.time()
            self._count()

    def _count(self) -> None:
        metrics.PUBSUB_MESSAGES_TOTAL.inc(self._messages)
        self._messages = 0

    def _away(self, why: str) -> None:
        """Nothing is heard for now."""
        if why and not self.is_away:
            logger.warning("Redis is away: nothing is heard of it", extra={"why": why})
            metrics.PUBSUB_LOSSES_TOTAL.inc()
        self.is_away = True
        for channel in tuple(self._channels):
            channel.lose(SubscriberAway(why))

    # --- What Redis is asked -----

    def _ask_soon(self) -> None:
        """Tell Redis of what has changed, at the end of this turn of the loop."""
        if self._flush_handle is None and self._connection is not None:
            self._flush_handle = asyncio.get_running_loop().call_soon(self._ask)

    def _ask(self) -> None:
        self._flush_handle = None
        connection = self._connection
        if connection is None or not connection.may_write:  # there will be room
            return
        for words in self._channels.commands():
            connection.send(*words)

    # --- What Redis says -----

    def _take(self, reply: Any) -> None:
        if not isinstance(reply, list):
            if isinstance(reply, Exception):
                self._take_error(str(reply))
        elif reply[0] == b"message":
            self._deliver(self._channels.get(reply[1], is_pattern=False), reply[1], reply[2])
        elif reply[0] == b"pmessage":
            self._deliver(self._channels.get(reply[1], is_pattern=True), reply[2], reply[3])
        elif reply[0] in _CONFIRMATIONS:
            channel = self._channels.answered()
            if channel is not None:
                channel.confirm()

    def _deliver(self, channel: Channel | None, name: bytes, payload: bytes) -> None:
        self._messages += 1
        if channel is not None and channel.is_confirmed:  # else it was on its way when its listeners left
            channel.deliver(name, payload)

    def _take_error(self, error: str) -> None:
        """The answer to a command of ours; it never repeats what that said."""
        if error.startswith(SAYS_AWAY) and self._connection is not None:
            self._refusal = error
            self._connection.abort()
            return
        channel = self._channels.refused()
        if channel is not None:
            logger.warning("Redis refuses a subscription", extra={"error": error})
            channel.answer(SubscribeRefused(error))
        self._ask_soon()


def _tell_confirmed(subscription: Subscription, listener: Listener) -> None:
    """The channel was there before this listener."""
    if subscription.is_confirmed:
        told(listener.confirmed)


def _encoded(name: str | bytes) -> bytes:
    return name.encode() if isinstance(name, str) else name
