"""What nodes tell each other over the channel layer: every message there is, made and read here alone.

A node of the release before must understand them, and this one its: add fields, and read those that are
missing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

from proxy.cluster.questions import SEND_SECONDS, LayerAway
from proxy.core.closes import Close, ClosedBy
from proxy.core.events import Event
from proxy.core.history import Position
from proxy.core.topics import check_topic, group_name, node_topic
from proxy.registry import topic_kinds

EVENT = "gateway.event"  # of a publisher, for the clients of a topic
CLOSE = "gateway.close"  # end the links of a topic
DRAIN = "gateway.drain"  # take no more links, and end those there are
RULES = "gateway.rules"  # rows of blocks or pool members have changed
KICKS = "gateway.kicks"  # there are new rows of kicks
WAITING = "gateway.waiting"  # there are new rows of events
WHO = "gateway.who"  # asks who is on a topic
MOVED = "gateway.moved"  # who has joined or left a topic, for its clients
LOOK_AROUND = "gateway.look_around"  # words of that kind may be lost
TAP = "gateway.tap"  # look at what goes over a link, go on looking, or stop
ALL_NODES = node_topic("all")

Signal = Mapping[str, Any]


def event(text: str) -> Signal:
    """`text` is the one JSON text that clients read. It is published now."""
    return {"type": EVENT, "text": text, "at": time.time()}


def published_at(signal: Signal) -> float | None:
    """When an event was, in Unix seconds; None: by a node of before, or by who does not say."""
    at = signal.get("at")
    return at if isinstance(at, float) else None


def event_of(signal: Signal, *, source: str = "layer") -> Event:
    """What clients read: with its position, where its topic has a history."""
    text, since = signal["text"], signal.get("since")
    position = Position.parse(since) if isinstance(since, str) else None
    if position is None:
        return Event(text, source)
    return Event(f'{text[:-1]},"since":"{position}"}}', source, position)


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """End the links of a topic with `close`. `kick` is the id of the kick that it carries out; `replaced` is
    a link's id, which a newer link of its user takes the place of: it may be dialled still, and hear nothing.
    """

    close: Close
    by: ClosedBy
    kick: str | None = None
    replaced: str | None = None

    def signal(self) -> Signal:
        named = {"kick": self.kick, "replaced": self.replaced}
        return {
            "type": CLOSE,
            "code": self.close.code,
            "reason": self.close.reason,
            "closed_by": self.by.value,
            **{name: value for name, value in named.items() if value is not None},
        }

    @classmethod
    def of(cls, signal: Signal) -> Closing:
        """Raises KeyError or ValueError for what says no close."""
        kick, replaced = signal.get("kick"), signal.get("replaced")
        return cls(
            close=Close(int(signal["code"]), str(signal.get("reason", ""))),
            by=ClosedBy(signal.get("closed_by", ClosedBy.GATEWAY)),
            kick=kick if isinstance(kick, str) else None,
            replaced=replaced if isinstance(replaced, str) else None,
        )


async def send_to_topic(topic: str, signal: Signal) -> None:
    """Send `signal` to every node that has links on `topic`.

    Raises:
        ValueError: `topic` is none.
        LayerAway: Redis is away, or does not answer in two seconds.
    """
    layer = get_channel_layer()
    group = group_name(check_topic(topic, topic_kinds()))
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await layer.group_send(group, {**signal, "topic": topic})
    except TimeoutError:
        raise LayerAway(f"Redis has not answered in {SEND_SECONDS:g} s") from None
    except Exception as error:
        raise LayerAway(f"Redis is away: {error or type(error).__name__}") from error


def send_to_topic_sync(topic: str, signal: Signal) -> None:
    """`send_to_topic` for code that is not async."""
    async_to_sync(send_to_topic)(topic, signal)
