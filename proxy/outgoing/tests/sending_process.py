"""A process that sends, for tests that kill it; its words are the kind, the URL and the name of a broker."""

from __future__ import annotations

import asyncio
import sys

import django

from proxy.outgoing.destination import Destination


def destination(kind: str, url: str, name: str) -> Destination:
    from proxy.outgoing.to_jetstream import ToJetStream
    from proxy.outgoing.to_rabbitmq import ToRabbitMQ

    if kind == "nats":
        return ToJetStream("events", servers=[url], stream=name, subjects=["chat.>"])
    return ToRabbitMQ("events", url=url, exchange=name)


async def main() -> None:
    from proxy.outgoing.sending import send_outgoing
    from proxy.tables.executor import DatabaseExecutor

    await send_outgoing(destination(*sys.argv[1:4]), DatabaseExecutor().run)


if __name__ == "__main__":
    django.setup()
    asyncio.run(main())
