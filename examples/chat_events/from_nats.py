"""A notification service on NATS JetStream: says who would be told of each event of the chat.

Of the gateway it knows what docs/events-out.md says, and imports nothing. Run it as often as you like under
one NAME: those share the work, one event at a time, in order.

    python examples/chat_events/from_nats.py --url nats://127.0.0.1:4222
"""

from __future__ import annotations

import argparse
import asyncio
import json

import nats
from nats.errors import Error
from nats.errors import TimeoutError as NothingNew
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from notifying import Seen, line


async def meanwhile(_: Exception) -> None:
    """Of what is raised, too: nats-py would print a traceback for each server that does not answer."""


async def follow(url: str, *, stream: str, name: str, seen: Seen) -> None:
    """Until the connection is lost. The server remembers where `name` is."""
    # One at a time: were several under way, what came back would be behind what is new.
    config = ConsumerConfig(
        ack_policy=AckPolicy.EXPLICIT, deliver_policy=DeliverPolicy.ALL, max_ack_pending=1
    )
    async with await nats.connect(url, allow_reconnect=False, error_cb=meanwhile) as client:
        reading = await client.jetstream().pull_subscribe("", durable=name, stream=stream, config=config)
        while client.is_connected:
            try:
                (message,) = await reading.fetch(1, timeout=5)
            except NothingNew:
                continue
            message_id = (message.headers or {})["Nats-Msg-Id"]
            if not seen.has(message_id):
                print(line(json.loads(message.data)), flush=True)
                seen.add(message_id)
            await message.ack_sync()  # only now: whoever ends before is sent it again


async def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--url", default="nats://127.0.0.1:4222")
    arguments.add_argument("--stream", default="CHAT")
    arguments.add_argument("--name", default="notifications")
    asked = arguments.parse_args()
    seen = Seen()
    while True:
        try:
            await follow(asked.url, stream=asked.stream, name=asked.name, seen=seen)
        except (Error, OSError) as error:  # no server, or no such stream yet
            print(f"again in a second: {type(error).__name__}", flush=True)
        await asyncio.sleep(1)


if __name__ == "__main__":
    asyncio.run(main())
