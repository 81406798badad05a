"""A notification service on RabbitMQ: says who would be told of each event of the chat.

Of the gateway it knows what docs/events-out.md says, and imports nothing. Run it as often as you like under
one NAME: one of them works, in order, and another goes on when it ends.

    python examples/chat_events/from_rabbitmq.py --url amqp://guest:guest@127.0.0.1:5672
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging

import aio_pika
from aio_pika.exceptions import AMQPError
from notifying import Seen, line


async def follow(url: str, *, exchange: str, prefix: str, name: str, seen: Seen) -> None:
    """Until the connection is lost. The queue `name` keeps what comes while nobody works."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=1)  # one at a time: what comes back is not behind what is new
        source = await channel.declare_exchange(exchange, aio_pika.ExchangeType.TOPIC, durable=True)
        queue = await channel.declare_queue(name, durable=True, arguments={"x-single-active-consumer": True})
        await queue.bind(source, f"{prefix}.#")

        async def work(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            message_id = message.message_id or ""
            if not seen.has(message_id):
                print(line(json.loads(message.body)), flush=True)
                seen.add(message_id)
            await message.ack()  # only now: whoever ends before is sent it again

        await queue.consume(work)
        await channel.closed()


async def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--url", default="amqp://guest:guest@127.0.0.1:5672")
    arguments.add_argument("--exchange", default="chat")
    arguments.add_argument("--prefix", default="chat")
    arguments.add_argument("--name", default="notifications")
    asked = arguments.parse_args()
    # It would print a traceback for a connection that is lost, beside the line below.
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)
    seen = Seen()
    while True:
        try:
            await follow(asked.url, exchange=asked.exchange, prefix=asked.prefix, name=asked.name, seen=seen)
        except (AMQPError, OSError) as error:
            print(f"again in a second: {type(error).__name__}", flush=True)
        await asyncio.sleep(1)


if __name__ == "__main__":
    asyncio.run(main())
