"""Sessions of agents that number what they say, and viewers that come back when they lose their link."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from config.testing.coming_back import come_back_forever, linked
from config.testing.ending import ended

WORD_SECONDS = 0.5
REDIS_SECONDS = 2.0


@dataclass
class SessionStory:
    """What all viewers saw together since it was begun."""

    refused: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)  # words that were said and not heard, by mode
    not_delivered: int = 0  # of what viewers said, as they were told
    wrong: list[str] = field(default_factory=list)  # doubled, reordered, or missed without a word


class Session:
    """An agent and its viewer, of one session. Both number what they say."""

    def __init__(self, number: int, mode: str, redis: Redis, address: str) -> None:
        self.name, self.mode, self.story = f"chaos-{mode}-{number}", mode, SessionStory()
        self.heard_at = 0.0
        self._redis, self._address = redis, address
        self._unsure = set[int]()  # what Redis may have taken or not
        self._heard, self._since, self._is_told = -1, "", True
        self._said_up, self._heard_up, self._up_at = 0, -1, "0-0"
        self._unsure_up = set[int]()  # what the viewer said and may not have arrived

    async def stream(self) -> None:
        """The agent: says a number every half second, and reads what its viewer said. Until cancelled."""
        number = 0
        await asyncio.sleep(random.uniform(0, WORD_SECONDS))
        while True:
            try:
                async with asyncio.timeout(REDIS_SECONDS):
                    await self._say(number)
                    await self._listen()
            except (RedisError, OSError, TimeoutError):
                self._unsure.add(number)
                self._doubt()
            number += 1
            await asyncio.sleep(WORD_SECONDS)

    async def _say(self, number: int) -> None:
        down, text = f"session:{self.name}:down", json.dumps({"word": number})
        if self.mode == "live":
            await self._redis.publish(down, text)
            return
        async with self._redis.pipeline(transaction=True) as both:
            both.xadd(down, {"message": text}, maxlen=1000)
            both.publish(down, "")
            await both.execute()

    async def _listen(self) -> None:
        if self.mode == "live":
            return
        up = f"session:{self.name}:up"
        entries: Any = await self._redis.xrange(up, f"({self._up_at}", "+")
        for position, fields in entries:
            self._up_at = position.decode()
            number = json.loads(fields[b"message"])["up"]
            if number <= self._heard_up or set(range(self._heard_up + 1, number)) - self._unsure_up:
                self.story.wrong.append(f"{self.name}: {number} came up after {self._heard_up}")
            self._heard_up = number

    def _doubt(self) -> None:
        """Redis or a link was lost, or a message not delivered, of those that the agent has not heard yet."""
        self._unsure_up.update(range(self._heard_up + 1, self._said_up))

    async def view(self) -> None:
        """The viewer: until cancelled, over as many links as it takes."""
        await come_back_forever(self._view_one_link, lambda: self.story)

    async def _view_one_link(self) -> None:
        """Ends with the exception that ended it."""
        token = secrets.token_urlsafe(16)
        keys = {f"session:{self.name}:mode": self.mode, f"session:{self.name}:auth": token}
        try:
            await self._redis.mset(keys)
        except RedisError:
            self.story.refused["no token, Redis is away"] += 1
            return
        since = f"?since={self._since}" if self._since else ""
        url = f"{self._address}/agent-1/ws/{self.name}{since}"
        async with linked(url, headers={"Authorization": f"Bearer {token}"}) as socket:
            # Of a durable session it is told; a live one is heard from here on.
            self._is_told = self.mode == "live" or not self._since
            sending = asyncio.create_task(self._send(socket), name=f"{self.name}:send")
            try:
                while True:
                    self._hear(json.loads(await socket.recv()))
            finally:
                sending.cancel()
                with suppress(asyncio.CancelledError, ConnectionClosed):
                    await sending
                self._doubt()
                self.heard_at = 0.0

    async def _send(self, socket: ClientConnection) -> None:
        while True:
            await asyncio.sleep(2 * WORD_SECONDS)
            self._said_up += 1
            await socket.send(json.dumps({"up": self._said_up - 1}))

    def _hear(self, message: dict[str, Any]) -> None:
        self._since = message.get("since", self._since)
        if "word" in message:
            self._hear_word(message["word"])
        elif message.get("recovered") is False or message.get("type") == "gateway.resync":
            self._is_told = True
        elif message.get("code") == "not_delivered":
            self.story.not_delivered += 1
            self._doubt()

    def _hear_word(self, word: int) -> None:
        missed = set(range(self._heard + 1, word)) - self._unsure if self._heard >= 0 else set()
        if word <= self._heard:
            self.story.wrong.append(f"{self.name}: {word} came after {self._heard}")
        elif missed and not self._is_told:
            self.story.wrong.append(f"{self.name}: {word} came after {self._heard}, and nobody said why")
        self.story.missed[self.mode] += len(missed)
        self._heard, self._is_told, self.heard_at = word, False, time.monotonic()


class Sessions:
    """Many of them, half of them durable, in one event loop. `async with` starts them; they end with it."""

    def __init__(self, count: int, *, redis_url: str, address: str) -> None:
        self._redis = Redis.from_url(redis_url, socket_timeout=REDIS_SECONDS)
        modes: Iterable[str] = (("live", "durable")[number % 2] for number in range(count))
        self.each = [Session(number, mode, self._redis, address) for number, mode in enumerate(modes)]
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Sessions:
        for each in self.each:
            for work in (each.stream, each.view):
                self._tasks.append(asyncio.create_task(work(), name=each.name))
        return self

    async def __aexit__(self, *_: object) -> None:
        await ended(self._tasks)
        await self._redis.aclose()
        for task in self._tasks:
            if not task.cancelled():
                task.result()  # raises what ended it

    def begin_story(self) -> SessionStory:
        """What is seen from now on."""
        story = SessionStory()
        for each in self.each:
            each.story = story
        return story
