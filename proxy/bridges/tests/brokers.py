"""A broker in this very process, and a node with links that a bridge to it is played on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NoReturn

from proxy.bridges.bridge import Session
from proxy.bridges.inbox import Inbox
from proxy.engine.hub import TopicWatcher
from proxy.engine.redis.subscriber import Subscriber
from proxy.work import Workplace


class Broker:
    """One in this very process that loses nothing, as a stream whose place is remembered."""

    name, kinds = "crashing", ("user",)
    may_have_missed = False

    def __init__(self) -> None:
        self.is_asked, self.may_connect, self.is_away = asyncio.Event(), asyncio.Event(), False
        self.may_connect.set()
        self.heard = set[str]()

    @asynccontextmanager
    async def session(self, _: Inbox) -> AsyncIterator[Session]:
        self.is_asked.set()
        await self.may_connect.wait()
        if self.is_away:
            raise ConnectionError("away")
        yield self

    async def subscribe(self, topics: Sequence[str]) -> None:
        self.heard.update(topics)

    async def unsubscribe(self, topics: Sequence[str]) -> None: ...

    async def last(self) -> NoReturn:
        await asyncio.get_running_loop().create_future()
        raise AssertionError


class Node:
    """One with a link on each of some topics, whose watch fails when that is asked for."""

    def __init__(self, subscriber: Subscriber | None, *topics: str) -> None:
        self.told: list[set[str]] = []
        self.watched, self.fails = asyncio.Event(), asyncio.Event()
        self._topics = topics
        self.workplace = Workplace(
            deliver=lambda *_: None,
            resync=self._resync,
            watch=self._watch,
            run_in_database=None,  # type: ignore[arg-type]  # no bridge needs it
            subscriber=subscriber,
        )

    def _resync(self, topics: Iterable[str]) -> None:
        self.told.append(set(topics))

    async def _watch(self, watcher: TopicWatcher, _: Collection[Any]) -> NoReturn:
        await watcher.first_joined(self._topics)
        self.watched.set()
        await self.fails.wait()
        raise RuntimeError("a mistake of ours")
