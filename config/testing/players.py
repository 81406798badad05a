"""Clients that number what they send, check every answer, and come back when they lose their link."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from config.testing.coming_back import come_back_forever, linked

MESSAGE_SECONDS = 0.5
BEHIND_SECONDS = 1.0


@dataclass
class Story:
    """What all players saw together since it was begun. Times are seconds."""

    answers: int = 0
    events: int = 0
    changes: int = 0
    links: int = 0
    refused: Counter[str] = field(default_factory=Counter)  # handshakes by status and code, or failure
    ended: Counter[str] = field(default_factory=Counter)  # links by close code
    unavailable: int = 0  # answers that were an error: the service was away
    unanswered: int = 0  # messages in flight when their link ended
    oldest_unanswered: float = 0.0  # how long the oldest of them had been
    slowest_answer: float = 0.0
    longest_away: float = 0.0  # from the end of a link to the next that was served
    events_missed: int = 0
    missed_on_a_link: set[int] = field(default_factory=set)  # players who missed some while they had a link
    told_to_resync: set[int] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)  # doubled, reordered, or lost in the middle


class Player:
    """One client. Sends a number every half second, expects each back once and in order, or an error for it.

    An event has `"event": n`; each must have a greater number than the one before. One that is kept until it
    is heard has `"change": n`; of those a link hears each.
    """

    def __init__(self, number: int, url: str) -> None:
        """`url` is the client's, with its token. The address it says it has is its own."""
        self.number, self.url, self.story = number, url, Story()
        self.address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        self.answered_at = 0.0  # of the link that is open now; 0 while there is none
        self.event, self.change = -1, -1
        self.changed_at = 0.0  # when it heard a change last
        self._next = 0
        self._sent: dict[int, float] = {}  # when, by number; what this link has yet to answer
        self._lost_at = 0.0
        self._has_heard_events = self._has_heard_changes = False  # on the link that is open now

    def is_behind(self) -> bool:
        """Whether it waits for an answer for longer than it should, as behind an outage that is over."""
        return any(time.monotonic() - sent_at > BEHIND_SECONDS for sent_at in self._sent.values())

    async def play(self) -> None:
        """Until it is cancelled, over as many links as it takes."""
        await come_back_forever(self._play_one_link, lambda: self.story)

    async def _play_one_link(self) -> None:
        """Ends with the exception that ended it."""
        async with linked(self.url, headers={"X-Forwarded-For": self.address}) as socket:
            self.story.links += 1
            sending = asyncio.create_task(self._send(socket), name=f"player:{self.number}:send")
            try:
                while True:
                    self._heard(json.loads(await socket.recv()))
            finally:
                sending.cancel()
                with suppress(asyncio.CancelledError, ConnectionClosed):
                    await sending
                self._link_ended()

    async def _send(self, socket: ClientConnection) -> None:
        await asyncio.sleep(random.uniform(0, MESSAGE_SECONDS))  # not all in step
        while True:
            self._sent[self._next] = time.monotonic()
            self._next += 1
            number = self._next - 1
            await socket.send(json.dumps({"type": "number", "n": number, "request_id": str(number)}))
            await asyncio.sleep(MESSAGE_SECONDS)

    def _heard(self, message: dict[str, Any]) -> None:
        if "event" in message:
            self._heard_event(message["event"])
        elif "change" in message:
            self._heard_change(message["change"])
        elif message.get("type") == "gateway.resync":
            self.story.told_to_resync.add(self.number)
        elif "request_id" in message:
            self._heard_answer(int(message["request_id"]), is_error=message["type"] == "error")

    def _heard_answer(self, number: int, *, is_error: bool) -> None:
        now, story = time.monotonic(), self.story
        expected = next(iter(self._sent), None)
        if number != expected:
            story.wrong.append(f"player {self.number}: {number} came, {expected} was next")
        story.answers += 1
        story.slowest_answer = max(story.slowest_answer, now - self._sent.pop(number, now))
        if is_error:
            story.unavailable += 1
            return
        if self._lost_at:
            story.longest_away = max(story.longest_away, now - self._lost_at)
        self.answered_at, self._lost_at = now, 0.0

    def _heard_event(self, number: int) -> None:
        if number <= self.event:
            self.story.wrong.append(f"player {self.number}: event {number} came after {self.event}")
        elif self.event >= 0 and number > self.event + 1:
            self.story.events_missed += number - self.event - 1
            if self._has_heard_events:
                self.story.missed_on_a_link.add(self.number)
        self.story.events += 1
        self.event, self._has_heard_events = number, True

    def _heard_change(self, number: int) -> None:
        """One that comes anew may hear again what it heard by a node that was further."""
        if self._has_heard_changes and number != self.change + 1:
            self.story.wrong.append(f"player {self.number}: change {number} came after {self.change}")
        self.story.changes += 1
        self.change, self._has_heard_changes, self.changed_at = number, True, time.monotonic()

    def _link_ended(self) -> None:
        now, story = time.monotonic(), self.story
        story.unanswered += len(self._sent)
        for sent_at in self._sent.values():
            story.oldest_unanswered = max(story.oldest_unanswered, now - sent_at)
        self._sent.clear()
        self.answered_at, self._has_heard_events, self._has_heard_changes = 0.0, False, False
        self._lost_at = self._lost_at or now


class Players:
    """Many of them, in one event loop. `async with` starts them; they end with it."""

    def __init__(self, urls: Iterable[str]) -> None:
        self.each = [Player(number, url) for number, url in enumerate(urls)]
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Players:
        self.begin_story()
        for player in self.each:
            self._tasks.append(asyncio.create_task(player.play(), name=f"player:{player.number}"))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        for task in self._tasks:
            if not task.cancelled():
                task.result()  # raises what ended a player

    def begin_story(self) -> Story:
        """What is seen from now on."""
        story = Story()
        for player in self.each:
            player.story = story
        return story

    async def all_are_served(self, *, since: float | None = None, within_seconds: float) -> float:
        """Wait until each has an answer from `since` (loop-independent `time.monotonic`; default: now) on;
        answers how many seconds that took.

        Raises:
            TimeoutError: some have none.
        """
        since = time.monotonic() if since is None else since
        return await waited_for(lambda: self._served_since(since), within_seconds=within_seconds)

    async def _served_since(self, since: float) -> bool:
        ended = [task for task in self._tasks if task.done()]
        assert not ended, ended[0].exception()
        return all(player.answered_at >= since for player in self.each)


async def waited_for(condition: Callable[[], Awaitable[bool]], *, within_seconds: float) -> float:
    """Seconds until `condition` held.

    Raises:
        TimeoutError: it never did.
    """
    begin = time.monotonic()
    async with asyncio.timeout(within_seconds):
        while not await condition():
            await asyncio.sleep(0.05)
    return time.monotonic() - begin
