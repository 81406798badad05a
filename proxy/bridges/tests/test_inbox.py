"""What waits between a broker and the links: bounded, in order, in turns, and never lost in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import REGISTRY
from pytest_django.fixtures import Settings

from proxy.bridges.inbox import Inbox
from proxy.cluster.publishing import encode_event
from proxy.work import Workplace


class Node:
    """What a node was asked to do, in its order."""

    def __init__(self) -> None:
        self.did: list[Any] = []
        self.workplace = Workplace(
            deliver=self._deliver,
            resync=self._resync,
            watch=None,  # type: ignore[arg-type]  # an inbox watches nothing
            run_in_database=None,  # type: ignore[arg-type]
        )

    def _deliver(self, topic: str, event: Mapping[str, Any]) -> None:
        encode_event(event)  # as a node does
        self.did.append(event["number"])

    def _resync(self, topics: Iterable[str]) -> None:
        self.did.append(set(topics))


def number(value: int) -> bytes:
    return b'{"type": "number", "number": %d}' % value


def dropped(bridge: str) -> float | None:
    return REGISTRY.get_sample_value(
        "gateway_websocket_bridge_messages_total", {"bridge": bridge, "outcome": "dropped"}
    )


async def delivered(inbox: Inbox, node: Node, *, until: Any) -> None:
    delivering = asyncio.create_task(inbox.deliver_forever())
    async with asyncio.timeout(30):
        while not node.did or node.did[-1] != until:
            await asyncio.sleep(0)
    delivering.cancel()


async def test_what_a_full_inbox_drops_is_counted_and_told_after_all_that_was_kept() -> None:
    node = Node()
    inbox = Inbox("by-number", node.workplace, most_messages=3)
    for value in range(5):
        inbox.put("user:ann" if value < 4 else "user:bob", "source", number(value))
    await delivered(inbox, node, until={"user:ann", "user:bob"})
    assert node.did == [0, 1, 2, {"user:ann", "user:bob"}]
    assert dropped("by-number") == 2
    inbox.put("user:ann", "source", number(5))
    await delivered(inbox, node, until=5)


async def test_an_inbox_is_bounded_by_bytes_too() -> None:
    node = Node()
    inbox = Inbox("by-size", node.workplace, most_bytes=100)
    for value in range(4):
        inbox.put("user:ann", "source", number(value))
    await delivered(inbox, node, until={"user:ann"})
    assert node.did == [0, 1, 2, {"user:ann"}]


async def test_what_no_link_could_hear_as_one_event_is_dropped_counted_and_told(
    settings: Settings,
) -> None:
    settings.MAX_EVENT_BYTES = 120
    node = Node()
    inbox = Inbox("by-event", node.workplace)
    inbox.put("user:ann", "source", b'{"type": "number", "pad": "%s"}' % (b"x" * 100))
    await delivered(inbox, node, until={"user:ann"})
    inbox.put("user:bob", "source", bytes(100))  # base64 makes it larger
    await delivered(inbox, node, until={"user:bob"})
    inbox.put("user:ann", "source", number(1))
    await delivered(inbox, node, until=1)
    assert node.did == [{"user:ann"}, {"user:bob"}, 1]
    assert dropped("by-event") == 2


async def test_others_have_their_turns_while_much_is_delivered() -> None:
    node = Node()
    inbox = Inbox("in-turns", node.workplace)
    for value in range(10_000):
        inbox.put("user:ann", "source", number(value))
    seen: list[int] = []

    async def look() -> None:
        while len(node.did) < 10_000:
            seen.append(len(node.did))
            await asyncio.sleep(0)

    async with asyncio.timeout(30):
        await asyncio.gather(look(), delivered(inbox, node, until=9_999))
    assert node.did == list(range(10_000))
    assert len(seen) > 3
