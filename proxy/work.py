"""Background work of the product: told at import, run by every node beside its own."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, TypeVar

from proxy.core.answers import wrong
from proxy.core.topics import TopicKind
from proxy.engine.hub import TopicWatcher
from proxy.engine.redis.commands import RedisCommands
from proxy.engine.redis.subscriber import Subscriber

T = TypeVar("T")
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")


class RunInDatabase(Protocol):
    """Runs code that uses the database, in a thread of the node's own, one call after another."""

    async def __call__(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """What `work` answers or raises; TimeoutError, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """What background work gets of the node that it runs on. `publish` needs none.

    Attributes:
        deliver: gives an event to those links of this node that hear a topic, at once; ValueError for what is
            none. Call it on the event loop.
        resync: tells those links of this node that hear any of some topics that they may have missed events,
            each once. Call it on the event loop, for a gap in what is delivered.
        watch: tells a watcher of the first and last link of this node on each topic of some kinds, until
            cancelled; begins with those there are (`proxy/engine/hub.py`).
        run_in_database: runs a function that uses the database.
        subscriber: hears what is published to channels of the gateway's Redis, over one connection for all of
            the node (`proxy/engine/redis/subscriber.py`); None without REDIS_URL. Use it on the event loop.
        commands: runs commands in it, those of all the node over one connection, in their order
            (`proxy/engine/redis/commands.py`); None without REDIS_URL. Likewise.
    """

    deliver: Callable[[str, Mapping[str, Any]], None]
    resync: Callable[[Iterable[str]], None]
    watch: Callable[[TopicWatcher, Collection[TopicKind]], Coroutine[Any, Any, NoReturn]]
    run_in_database: RunInDatabase
    subscriber: Subscriber | None = None
    commands: RedisCommands | None = None


NodeWork = Callable[[Workplace], Awaitable[None]]

_told: dict[str, NodeWork] = {}


def run_on_every_node(name: str, work: NodeWork) -> None:
    """Have every node run `work`, an async function, from its start to its stop; call this at import.

    What it raises is logged and counted (`background_crashes_total`, as `product:NAME`), and it is run again,
    after waits that grow to half a minute. At the stop it is cancelled, once no link is left, and has a
    second to clean up; then it is cancelled again, and named in the log.

    Raises:
        ValueError: the name is none, or other work has it.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"background work is named by 1 to 32 of a-z, 0-9, _ and -, a letter first; got {name!r}"
        )
    if _told.setdefault(name, work) is not work:
        raise ValueError(f"two different background works are named {name!r}")


async def run(name: str, work: NodeWork, place: Workplace) -> None:
    """What was told as `name`, on one node. Raises TypeError for a function that is not async."""
    working: object = work(place)
    if not isinstance(working, Awaitable):
        raise wrong(working, f"the background work {name!r} is an async function: it answers a coroutine")
    await working


def told() -> Mapping[str, NodeWork]:
    """All that was told, by its name."""
    return dict(_told)
