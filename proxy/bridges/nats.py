"""NATS as the broker of a bridge, by the client nats-py."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, NoReturn, cast
from urllib.parse import urlsplit

from proxy.bridges.bridge import Session
from proxy.bridges.inbox import Inbox
from proxy.core.bridging.subjects import BridgedSubject
from proxy.core.human import milliseconds
from proxy.engine.calls import call_within

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

logger = logging.getLogger(__name__)

DIAL_SECONDS = 2
CONNECT_SECONDS = 6.0
CLOSE_SECONDS = 0.5
# A server that is stopped, or behind a dead network, answers no echo.
ECHO_SECONDS = 2.0
ANSWER_SECONDS = 3
CONFIRM_SECONDS = 8  # what many subscriptions at once may take
_SHOWN_CHARS = 200


def nats_server(url: str) -> str:
    """`url`, if it is one of a server of NATS; else ValueError."""
    found = urlsplit(url)
    if found.scheme not in {"nats", "tls"} or not found.hostname or found.path.strip("/"):
        raise ValueError(url)
    found.port  # noqa: B018  which raises ValueError for none
    return url


def nats_client() -> Client:
    """nats-py's, with what it lacks; connect it as that is."""
    from proxy.bridges.nats_client import Client

    return Client()


class NatsConnection:
    """A client of NATS that is connected, from `connected`.

    It does not connect again: the bridge does that, and knows what was missed.
    """

    def __init__(self, client: Client, *, bridge: str) -> None:
        self.client, self._bridge = client, bridge
        self._closed = asyncio.Event()
        self._complaint: Exception | None = None

    async def open(self, servers: Sequence[str]) -> None:
        """Raises ConnectionError, which names the servers, if none can be reached, else what nats-py does."""
        from nats.errors import NoServersError

        connecting = self.client.connect(
            list(servers),
            name="sluicegate",
            allow_reconnect=False,
            connect_timeout=DIAL_SECONDS,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            error_cb=self._on_error,
            closed_cb=self._on_closed,
        )
        try:
            await call_within(CONNECT_SECONDS, connecting)
        except (NoServersError, TimeoutError):
            why = repr(self._complaint) if self._complaint else "no answer in time"
            raise ConnectionError(f"no server of {_addresses(servers)} can be reached: {why}") from None

    async def seen(self) -> str:
        """Who answers, and how fast."""
        seconds = await self.client.rtt(ANSWER_SECONDS)
        url = self.client.connected_url
        at = "" if url is None else url.netloc.rpartition("@")[2]
        version = self.client.connected_server_version
        named = f"NATS {version.major}.{version.minor}.{version.patch}"
        return f"{at}: {named}, answers in {milliseconds(seconds)}"

    async def subscribe(self, subject: str, take: Callable[[Msg], None]) -> Subscription:
        """Have `take` called with what comes for `subject`, at once and as it is read; it must not raise."""
        sink = cast("asyncio.Future[Msg]", _Sink(take))
        return await self.client.subscribe(subject, future=sink)

    async def last(self) -> NoReturn:
        """Wait until the server is gone, or silent; which is raised."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._until_closed(), name="nats:closed")
            tasks.create_task(self._echo_forever(), name="nats:echo")
        raise AssertionError("unreachable: the tasks end by failing")

    async def _until_closed(self) -> NoReturn:
        await self._closed.wait()
        raise ConnectionError(f"NATS has closed the connection: {self.client.last_error!r}")

    async def _echo_forever(self) -> NoReturn:
        while True:
            # In a task of its own: an answer that comes with a cancellation would swallow that.
            await call_within(ANSWER_SECONDS + 1, self.client.rtt(ANSWER_SECONDS))
            await asyncio.sleep(ECHO_SECONDS)

    async def _on_closed(self) -> None:
        self._closed.set()

    async def _on_error(self, error: Exception) -> None:
        # A refused subscription, say; it names a subject. What ends the connection is raised elsewhere.
        self._complaint = error
        level = logging.WARNING if self.client.is_connected else logging.DEBUG
        extra = {"bridge": self._bridge, "error": repr(error)[:_SHOWN_CHARS]}
        logger.log(level, "NATS complains", extra=extra)


@asynccontextmanager
async def connected(client: Client, *, bridge: str, servers: Sequence[str]) -> AsyncIterator[NatsConnection]:
    """`client`, connected to one of `servers`."""
    connection = NatsConnection(client, bridge=bridge)
    try:
        await connection.open(servers)
        yield connection
    finally:
        with suppress(Exception):  # of what is broken already
            await call_within(CLOSE_SECONDS, client.close())


def _addresses(servers: Sequence[str]) -> str:
    """Without what is secret in their URLs."""
    return ", ".join(urlsplit(server).netloc.rpartition("@")[2] for server in servers)


class _Sink:
    """Where nats-py puts what comes for one subscription.

    It stands where the library takes a future that has one answer. With a callback each subscription would
    have a task and a queue, and what came for two topics of one client would change places.
    """

    __slots__ = ("set_result",)

    def __init__(self, take: Callable[[Msg], None]) -> None:
        self.set_result = take

    def cancelled(self) -> bool:
        return False


class NatsBroker:
    """`servers` are URLs (`nats://user:password@host:port`) of one cluster; any of them is as good.

    At most once: what is published while a node is not connected does not come.
    """

    def __init__(self, name: str, *, servers: Sequence[str], bridged: Sequence[BridgedSubject]) -> None:
        from proxy.bridges.nats_client import Client

        self._client = Client
        self.name, self._servers, self._bridged = name, servers, bridged
        self.kinds = frozenset(each.kind for each in bridged)

    async def look(self) -> str:
        """What is seen of it, for the doctor. Raises ConnectionError."""
        async with connected(self._client(), bridge=self.name, servers=self._servers) as connection:
            return await connection.seen()

    @asynccontextmanager
    async def session(self, inbox: Inbox) -> AsyncIterator[Session]:
        """Connected to one of the servers; see `Broker`."""
        async with connected(self._client(), bridge=self.name, servers=self._servers) as connection:
            yield NatsSession(connection, self._bridged, inbox)


class NatsSession:
    """One connection, and a subscription for each topic and each source that leads to it."""

    may_have_missed = True

    def __init__(self, connection: NatsConnection, bridged: Sequence[BridgedSubject], inbox: Inbox) -> None:
        self._connection, self._bridged, self._inbox = connection, bridged, inbox
        self._subscriptions: dict[str, list[Subscription]] = {}

    async def subscribe(self, topics: Sequence[str]) -> None:
        for topic in topics:
            subjects = [each.subject_of(topic) for each in self._bridged]
            self._subscriptions[topic] = [
                await self._connection.subscribe(subject, partial(self._take, topic))
                for subject in subjects
                if subject is not None
            ]
        await self._connection.client.flush(CONFIRM_SECONDS)

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        for topic in topics:
            for subscription in self._subscriptions.pop(topic, ()):
                await subscription.unsubscribe()

    async def last(self) -> NoReturn:
        await self._connection.last()

    def _take(self, topic: str, message: Msg) -> None:
        self._inbox.put(topic, message.subject, message.data)
