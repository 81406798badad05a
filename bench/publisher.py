"""A program that publishes as a product's own code does, and says what that cost.

    python -m bench.publisher

A line in: {"way": one of WAYS, "topic": …, "first": number of the first event, "count": how many}.
A line out: {"called_at": when each call began, "ended_at": when the last was through, both by
`time.monotonic()`, "cpu_seconds" of this process, and "links": how many took the events, where that is
told}. A batch is one call.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import django
import uvloop

if TYPE_CHECKING:
    from proxy.api import Delivered

EVENT_BYTES = 120
FORGETFUL, REMEMBERING = "forgetful:room", "remembering:room"


Events = Sequence[Mapping[str, str]]
# When each call began, and what they were answered.
Called = tuple[list[float], "Sequence[Delivered]"]


def event(number: int) -> dict[str, str]:
    """One that clients check as any message of the load generator, of the size of those."""
    return {"seq": f"{number:07}", "type": "bench", "pad": "x" * (EVENT_BYTES - 41)}


def main() -> None:
    django.setup()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for line in sys.stdin:
            print(json.dumps(carried_out(runner, **json.loads(line))), flush=True)


def carried_out(runner: asyncio.Runner, *, way: str, topic: str, first: int, count: int) -> dict[str, Any]:
    events = [event(number) for number in range(first, first + count)]
    cpu = time.process_time()
    called_at, delivered = WAYS[way](runner, topic, events)
    ended_at = time.monotonic()
    return {
        "called_at": called_at,
        "ended_at": ended_at,
        "cpu_seconds": time.process_time() - cpu,
        "links": sum(each.links for each in delivered),
    }


def _publish(_: asyncio.Runner, topic: str, events: Events) -> Called:
    from proxy.api import publish

    called_at, delivered = [], []
    for each in events:
        called_at.append(time.monotonic())
        delivered.append(publish(topic, each))
    return called_at, delivered


def _apublish(runner: asyncio.Runner, topic: str, events: Events) -> Called:
    from proxy.api import apublish

    async def each_in_turn() -> Called:
        called_at, delivered = [], []
        for each in events:
            called_at.append(time.monotonic())
            delivered.append(await apublish(topic, each))
        return called_at, delivered

    return runner.run(each_in_turn())


def _apublish_many(runner: asyncio.Runner, topic: str, events: Events) -> Called:
    from proxy.api import Publication, apublish_many

    called_at = time.monotonic()
    return [called_at], runner.run(apublish_many([Publication(topic, each) for each in events]))


def _publish_on_commit(_: asyncio.Runner, topic: str, events: Events) -> Called:
    """Each in a transaction of its own."""
    from django.db import transaction

    from proxy.api import publish_on_commit

    called_at = []
    for each in events:
        called_at.append(time.monotonic())
        with transaction.atomic():
            publish_on_commit(topic, each)
    return called_at, ()


WAYS = {
    "publish": _publish,
    "apublish": _apublish,
    "apublish_many": _apublish_many,
    "publish_on_commit": _publish_on_commit,
}

if __name__ == "__main__":
    main()
