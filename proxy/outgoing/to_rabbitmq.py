"""A topic exchange of RabbitMQ as the destination of events, by the client aio-pika: publisher confirms.

https://www.rabbitmq.com/docs/confirms: a confirmation of a persistent message says that every queue which
takes it has it on disk. What no queue takes is returned before it is confirmed, since it is `mandatory`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote, urlsplit

from proxy.core.outgoing import Row
from proxy.engine.calls import call_within
from proxy.outgoing.destination import NotNow, OneRefused, Refused, Sent, Session

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange

CONNECT_SECONDS = 8.0
BEGIN_SECONDS = 10.0
CLOSE_SECONDS = 0.5
# A server that is silent for three of these is taken for gone, by the client library.
HEARTBEAT_SECONDS = 5
MAX_ROUTING_KEY_BYTES = 255
# How RabbitMQ ends a channel over one message, in its own words; it may end one over something else.
_OF_ONE = ("access to topic", "message size")


def amqp_server(url: str) -> str:
    """`url`, if it is one of a RabbitMQ, as `amqp://user:password@host:5672/vhost`; else ValueError."""
    found = urlsplit(url)
    if found.scheme not in {"amqp", "amqps"} or not found.hostname or found.query or found.fragment:
        raise ValueError("no URL of a RabbitMQ")
    if "/" in found.path.lstrip("/") or found.path.startswith("//"):
        raise ValueError("a / in the name of a virtual host is %2F")
    found.port  # noqa: B018  which raises ValueError for none
    return url


class ToRabbitMQ:
    """The topic exchange `exchange` of the server and virtual host that `url` names; it is declared, durable.

    Over `amqps` the server's certificate is verified, by `ca_file` if there is one, else by the system's.
    """

    def __init__(self, name: str, *, url: str, exchange: str, ca_file: str = "") -> None:
        import aio_pika  # which takes a tenth of a second, that few need

        self._library: Any = aio_pika
        self.name, self._url, self._exchange, self._ca_file = name, url, exchange, ca_file

    @property
    def address(self) -> str:
        """Where it is, without what is secret."""
        found = urlsplit(self._url)
        vhost = unquote(found.path.removeprefix("/")) or "/"
        return (
            f"{found.hostname}:{found.port or (5671 if found.scheme == 'amqps' else 5672)}, vhost {vhost!r}"
        )

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Connected; see `Destination`."""
        connection = await self._connected()
        try:
            yield await self._begun(connection)
        finally:
            with suppress(Exception):  # of what is broken already
                await call_within(CLOSE_SECONDS, connection.close())

    async def look(self) -> str:
        """What is seen of it, for the doctor, who declares nothing. Raises ConnectionError."""
        connection = await self._connected()
        try:
            kind, channel = self._library.ExchangeType.TOPIC, await connection.channel()
            await channel.declare_exchange(self._exchange, kind, durable=True, passive=True)
        except self._library.exceptions.ChannelClosed as refused:
            if "NOT_FOUND" not in str(refused):
                raise ConnectionError(f"exchange {self._exchange!r}: {_why(refused)}") from None
            return f"{self.address}: the exchange {self._exchange!r} is declared with the first event"
        finally:
            with suppress(Exception):  # of what is broken already
                await call_within(CLOSE_SECONDS, connection.close())
        return f"{self.address}: has the exchange {self._exchange!r}"

    async def _connected(self) -> AbstractConnection:
        """Raises ConnectionError, which says where and why."""
        context = None
        if self._url.startswith("amqps:"):
            context = await asyncio.to_thread(ssl.create_default_context, cafile=self._ca_file or None)
        connection: AbstractConnection = self._library.Connection(
            f"{self._url}?heartbeat={HEARTBEAT_SECONDS}",
            ssl_context=context,
            client_properties={"connection_name": "sluicegate"},
        )
        try:
            await call_within(CONNECT_SECONDS, connection.connect())
        except Exception as error:  # noqa: BLE001  whatever the client library does
            await connection.close()  # or its end would want a loop
            raise ConnectionError(f"RabbitMQ at {self.address} cannot be reached: {_why(error)}") from None
        return connection

    async def _begun(self, connection: AbstractConnection) -> RabbitMQSession:
        """Raises ConnectionError with what the server has against it."""
        try:
            channel, exchange = await call_within(BEGIN_SECONDS, self._declared(connection))
        except Exception as error:  # noqa: BLE001  likewise
            what = f"exchange {self._exchange!r} of RabbitMQ at {self.address}"
            raise ConnectionError(f"{what}: {_why(error)}") from None
        return RabbitMQSession(channel, exchange)

    async def _declared(self, connection: AbstractConnection) -> tuple[AbstractChannel, AbstractExchange]:
        """An exchange that is there may be one that this user must not declare."""
        kind = self._library.ExchangeType.TOPIC
        channel = await connection.channel(on_return_raises=False)
        try:
            return channel, await channel.declare_exchange(self._exchange, kind, durable=True)
        except self._library.exceptions.ChannelClosed as refused:
            if "ACCESS_REFUSED" not in str(refused):
                raise
        channel = await connection.channel(on_return_raises=False)
        return channel, await channel.declare_exchange(self._exchange, kind, durable=True, passive=True)


class RabbitMQSession:
    """One channel of a connection."""

    def __init__(self, channel: AbstractChannel, exchange: AbstractExchange) -> None:
        import aio_pika
        import aiormq.abc

        self._library, self._returned = aio_pika, aiormq.abc.DeliveredMessage
        self._channel, self._exchange = channel, exchange

    async def send(self, row: Row) -> Sent:
        """See `Session`."""
        if len(row.subject.encode()) > MAX_ROUTING_KEY_BYTES:
            raise Refused(f"a routing key has at most {MAX_ROUTING_KEY_BYTES} bytes")
        message = self._library.Message(
            row.body.encode(),
            content_type="application/json",
            delivery_mode=self._library.DeliveryMode.PERSISTENT,
            message_id=row.message_id,
        )
        try:
            answer = await self._exchange.publish(message, row.subject, mandatory=True)
        except self._library.exceptions.DeliveryError as refused:
            raise NotNow("a queue that takes it has refused it") from refused
        except self._library.exceptions.ChannelClosed as ended:
            if any(words in str(ended) for words in _OF_ONE):
                raise OneRefused(_why(ended)) from None
            raise ConnectionError(f"the channel was closed: {_why(ended)}") from None
        return Sent.UNROUTED if isinstance(answer, self._returned) else Sent.SENT

    async def last(self) -> NoReturn:
        await self._channel.closed()  # which its connection's end does, too
        raise ConnectionError("RabbitMQ has closed the connection")


def _why(error: BaseException) -> str:
    """What a person can act on, of what the client library raises."""
    if "Connection.OpenOk" in str(error):  # it does not look into the server's answer
        return "there is no such vhost, or it is not this user's"
    return " ".join((str(error) or repr(error)).split())[:300]
