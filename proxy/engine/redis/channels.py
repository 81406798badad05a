"""Who listens to which channels, and what Redis has been asked and has confirmed. No I/O.

A channel is wanted while it has listeners. What changes in one turn of the loop is asked for together, and
what was wanted and given up within it is not asked for at all. Redis answers in the order of the commands,
each name of them by itself, or a whole command with an error.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

logger = logging.getLogger(__name__)

# Names in one command.
MOST_AT_ONCE = 1000


class SubscriberAway(Exception):
    """The Redis cannot be reached, or was lost before it confirmed. It may be back in a moment."""


class SubscribeRefused(Exception):
    """The Redis lets this user not subscribe to that. str() is its own word."""


class Listener(Protocol):
    """Who hears a channel, or what matches a pattern. No call may wait; what one raises is logged."""

    def heard(self, channel: bytes, payload: bytes) -> None:
        """Something was published; `channel` is its own name, for a pattern's listener, too."""

    def confirmed(self) -> None:
        """From now on everything is heard: at first, and again after each loss."""

    def lost(self) -> None:
        """Redis is lost, and what is published is missed until it is confirmed again."""


@dataclass(slots=True, eq=False)
class Channel:
    """A name, or a pattern, that somebody wants.

    `is_asked`: the last command about it was to subscribe. `is_confirmed`: and Redis has answered it.
    """

    name: bytes
    is_pattern: bool
    listeners: dict[object, Listener] = field(default_factory=dict)
    is_asked: bool = False
    is_confirmed: bool = False
    waiters: list[asyncio.Future[None]] | None = None

    def answer(self, error: Exception | None = None) -> None:
        """Let go of who waits for the confirmation."""
        waiters, self.waiters = self.waiters, None
        for waiter in waiters or ():
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)

    def deliver(self, name: bytes, payload: bytes) -> None:
        """Have its listeners hear what was published to `name`."""
        for listener in tuple(self.listeners.values()):
            try:
                listener.heard(name, payload)
            except Exception:
                logger.exception("a listener of a channel failed")

    def confirm(self) -> None:
        """Redis has answered that it is subscribed to."""
        self.is_confirmed = True
        self.answer()
        for listener in tuple(self.listeners.values()):
            told(listener.confirmed)

    def lose(self, error: Exception) -> None:
        """Redis is lost, for who waits and who hears."""
        was_confirmed, self.is_confirmed = self.is_confirmed, False
        self.answer(error)
        for listener in tuple(self.listeners.values()) if was_confirmed else ():
            told(listener.lost)


def told(tell: Callable[[], object]) -> None:
    """Call what a listener has to be told by."""
    try:
        tell()
    except Exception:
        logger.exception("a listener of a channel failed")


@dataclass(slots=True)
class _Command:
    """A command that is not answered yet; of `channels` the first `answered` are."""

    subscribes: bool
    channels: list[Channel]
    answered: int = 0


Words = list[bytes]


class Channels:
    """All that one Redis is to tell this process."""

    def __init__(self) -> None:
        self._wanted: tuple[dict[bytes, Channel], dict[bytes, Channel]] = ({}, {})
        self._changed: dict[Channel, None] = {}
        self._apart: list[Channel] = []  # to be asked for in a command of its own each
        self._unanswered: deque[_Command] = deque()

    @property
    def count(self) -> int:
        return sum(map(len, self._wanted))

    def __iter__(self) -> Iterator[Channel]:
        for wanted in self._wanted:
            yield from wanted.values()

    def get(self, name: bytes, *, is_pattern: bool) -> Channel | None:
        return self._wanted[is_pattern].get(name)

    def want(self, name: bytes, *, is_pattern: bool) -> Channel:
        """The channel of that name; a new one is to be asked for."""
        channel = self._wanted[is_pattern].get(name)
        if channel is None:
            channel = self._wanted[is_pattern][name] = Channel(name, is_pattern)
            self._changed[channel] = None
        return channel

    def give_up(self, channel: Channel) -> None:
        """Nobody listens any more."""
        if self._wanted[channel.is_pattern].get(channel.name) is channel:
            del self._wanted[channel.is_pattern][channel.name]
            self._changed[channel] = None

    def begin_anew(self) -> None:
        """Redis knows of nothing, and answers none of what it was asked."""
        self._unanswered.clear()
        self._apart.clear()
        self._changed = dict.fromkeys(self)
        for channel in self:
            channel.is_asked = False

    def commands(self) -> Iterator[Words]:
        """What to ask Redis now, so that it tells what is wanted."""
        changed, self._changed = self._changed, {}
        apart, self._apart = self._apart, []
        # First what is given up: a name that is wanted again is another channel.
        gone = [channel for channel in changed if channel.is_asked and not channel.listeners]
        yield from self._ask(gone, subscribes=False)
        fresh = [channel for channel in changed if channel.listeners and not channel.is_asked]
        yield from self._ask(fresh, subscribes=True)
        for channel in apart:
            if channel.listeners:
                yield from self._ask([channel], subscribes=True)

    def _ask(self, due: list[Channel], *, subscribes: bool) -> Iterator[Words]:
        for is_pattern in (False, True):
            own = [channel for channel in due if channel.is_pattern is is_pattern]
            word = (b"P" if is_pattern else b"") + (b"SUBSCRIBE" if subscribes else b"UNSUBSCRIBE")
            for start in range(0, len(own), MOST_AT_ONCE):
                batch = own[start : start + MOST_AT_ONCE]
                for channel in batch:
                    channel.is_asked = subscribes
                self._unanswered.append(_Command(subscribes, batch))
                yield [word, *(channel.name for channel in batch)]

    def answered(self) -> Channel | None:
        """Redis has answered the next name of its oldest command: the channel that is confirmed by it.

        None for one that was given up. Raises IndexError for an answer that nobody asked for.
        """
        command = self._unanswered[0]
        channel = command.channels[command.answered]
        command.answered += 1
        if command.answered == len(command.channels):
            self._unanswered.popleft()
        return channel if command.subscribes and channel.is_asked else None

    def refused(self) -> Channel | None:
        """Redis has answered its oldest command with an error: the channel that it will not give.

        None where it was about several, which are asked for one by one, since one of them may be to blame, or
        about what was given up. Raises IndexError where nothing was asked.
        """
        command = self._unanswered.popleft()
        still = [channel for channel in command.channels if channel.is_asked] if command.subscribes else []
        if len(command.channels) == 1:
            return still[0] if still else None
        for channel in still:
            channel.is_asked = False
        self._apart += still
        return None
