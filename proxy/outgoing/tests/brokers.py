"""Real brokers for tests: what they have got is read by their own clients, past all that is under test."""

from __future__ import annotations

import asyncio
import json
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aio_pika
import nats
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import NotFoundError

from config.testing.rabbitmq import RabbitMQServer
from config.testing.servers import JetStreamServer, Server
from proxy.outgoing.destination import Destination
from proxy.outgoing.to_jetstream import ToJetStream
from proxy.outgoing.to_rabbitmq import ToRabbitMQ

UNACKNOWLEDGED = ConsumerConfig(ack_policy=AckPolicy.NONE)


class Got(NamedTuple):
    """One message that the broker has."""

    subject: str
    body: dict[str, Any]
    message_id: str


class BrokerUnderTest(ABC):
    """Attributes: `server`, which may be killed; `url`; whether it `lets_doubles_in`."""

    server: Server
    url: str
    lets_doubles_in: bool

    @abstractmethod
    def destination(self) -> Destination: ...

    @abstractmethod
    async def count(self) -> int:
        """How many messages it has."""

    @abstractmethod
    async def got(self) -> list[Got]:
        """All that it has, in its order."""


class Nats(BrokerUnderTest):
    lets_doubles_in = False

    def __init__(self, server: JetStreamServer) -> None:
        self.server: JetStreamServer = server
        self.url = server.url

    def destination(self) -> ToJetStream:
        return ToJetStream("events", servers=[self.url], stream="CHAT", subjects=["chat.>"])

    @asynccontextmanager
    async def context(self) -> AsyncIterator[JetStreamContext]:
        async with await nats.connect(self.url) as client:
            yield client.jetstream()

    async def count(self) -> int:
        async with self.context() as context:
            try:
                return (await context.stream_info("CHAT")).state.messages
            except NotFoundError:
                return 0

    async def got(self) -> list[Got]:
        count = await self.count()
        async with self.context() as context:
            reading = await context.pull_subscribe("chat.>", stream="CHAT", config=UNACKNOWLEDGED)
            got: list[Got] = []
            while len(got) < count:
                for each in await reading.fetch(min(500, count - len(got)), timeout=10):
                    assert each.headers is not None
                    got.append(Got(each.subject, json.loads(each.data), each.headers["Nats-Msg-Id"]))
            return got


class Rabbit(BrokerUnderTest):
    """An exchange and a queue of the test's own."""

    lets_doubles_in = True

    def __init__(self, server: RabbitMQServer) -> None:
        self.server: RabbitMQServer = server
        self.url = server.url
        self.name = f"chat-{uuid.uuid4().hex[:8]}"

    def destination(self, **options: str) -> ToRabbitMQ:
        return ToRabbitMQ("events", **{"url": self.url, "exchange": self.name, **options})

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
        async with asyncio.timeout(20), await aio_pika.connect(self.url) as connection:
            yield await connection.channel()

    async def bind(self, queue: str = "", *, pattern: str = "chat.#", **arguments: Any) -> None:
        async with self.channel() as channel:
            exchange = await channel.declare_exchange(self.name, aio_pika.ExchangeType.TOPIC, durable=True)
            declared = await channel.declare_queue(queue or self.name, durable=True, arguments=arguments)
            await declared.bind(exchange, pattern)

    async def remove(self) -> None:
        async with self.channel() as channel:
            await channel.queue_delete(self.name)
            await channel.exchange_delete(self.name)

    async def count(self) -> int:
        async with self.channel() as channel:
            queue = await channel.declare_queue(self.name, passive=True)
            return queue.declaration_result.message_count or 0

    async def got(self) -> list[Got]:
        got: list[Got] = []

        async def take(each: aio_pika.abc.AbstractIncomingMessage) -> None:
            assert each.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
            got.append(Got(each.routing_key or "", json.loads(each.body), each.message_id or ""))

        count = await self.count()
        async with self.channel() as channel:
            await (await channel.get_queue(self.name)).consume(take, no_ack=True)
            while len(got) < count:
                await asyncio.sleep(0.01)
        return got
