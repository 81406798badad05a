"""A stream of NATS JetStream as the broker of a bridge: what a node did not hear in time it reads later.

The node reads its stream by a consumer of its own, in order, and remembers up to where. The server forgets
the consumer when the node, or the server itself, is away; the node then has it made anew from there on. So
nothing is missing but what the stream no longer keeps, and nothing comes twice, which a consumer that the
server remembers could not promise: it does not know what the node has heard of what it sent last.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn

from proxy.bridges.bridge import Session
from proxy.bridges.inbox import Inbox
from proxy.bridges.nats import NatsConnection, connected
from proxy.core.bridging.subjects import BridgedSubject, fewest, uncovered
from proxy.core.findings import Amiss
from proxy.engine.calls import call_within, wait_at_most

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.js.api import StreamInfo

logger = logging.getLogger(__name__)

BEGIN_SECONDS = 10.0
# Of a longer absence links are told, rather than given all of it.
MOST_CATCH_UP_SECONDS = 300.0
BATCH_MESSAGES = 500
BATCH_BYTES = 8 << 20
PULL_SECONDS = 30
HEARTBEAT_SECONDS = 2
SILENCE_SECONDS = 6.0
# The server forgets a consumer that nobody reads for so long.
FORGOTTEN_SECONDS = 30
_NANOSECONDS = 10**9
# What ends a request to read and nothing else: it has lasted long enough, or the next message is for another.
_READ_ON = ("408", "404")
_READ_ON_TEXTS = ("Message Size Exceeds MaxBytes", "Batch Completed")


def nats_stream(name: str) -> str:
    """`name`, if a stream may have it; else ValueError."""
    if not re.fullmatch(r"[^\s.*>/\\]{1,255}", name):
        raise ValueError(name)
    return name


@dataclass(frozen=True, slots=True)
class Position:
    """Up to which message a stream has been read, and until when, on the loop's clock.

    `made` is when the stream was: another one of its name counts from 1 again.
    """

    made: datetime | None
    sequence: int
    at: float

    @classmethod
    def resumed(cls, before: Position | None, stream: StreamInfo, *, now: float) -> tuple[Position, bool]:
        """Where to read on, and whether something may be missing."""
        first, last = stream.state.first_seq, stream.state.last_seq
        if (
            before is None
            or before.made != stream.created
            or before.sequence > last
            or now - before.at > MOST_CATCH_UP_SECONDS
        ):
            return cls(stream.created, last, now), True
        return before, first > before.sequence + 1


class JetStreamBroker:
    """`stream` is the name of one that exists and has the subjects of `bridged`.

    Each node reads all of those subjects, and lets go of what none of its links hears.
    """

    def __init__(
        self, name: str, *, servers: Sequence[str], bridged: Sequence[BridgedSubject], stream: str
    ) -> None:
        from proxy.bridges.nats_client import Client

        self._client = Client
        self.name, self._servers, self._bridged, self._stream = name, servers, bridged, stream
        self.kinds = frozenset(each.kind for each in bridged)
        self._position: Position | None = None

    async def look(self) -> str:
        """What is seen of it, for the doctor, who makes no consumer. Raises ConnectionError, Amiss."""
        async with connected(self._client(), bridge=self.name, servers=self._servers) as connection:
            subjects = fewest(each.any_subject for each in self._bridged)
            found = await stream_seen(connection, self._stream, subjects=subjects)
            return f"{await connection.seen()}; {found}"

    @asynccontextmanager
    async def session(self, inbox: Inbox) -> AsyncIterator[Session]:
        """Connected to one of the servers, reading on from where the session before ended; see `Broker`."""
        clock = asyncio.get_running_loop().time
        async with connected(self._client(), bridge=self.name, servers=self._servers) as connection:
            session = JetStreamSession(connection, self._stream, self._bridged, inbox)
            await self._begin(session)
            try:
                yield session
            finally:
                self._position = Position(session.made, session.sequence, clock())

    async def _begin(self, session: JetStreamSession) -> None:
        """Raises what the client library does, and ConnectionError with what the server has against it."""
        from nats.js.errors import APIError  # whose repr says nothing

        try:
            await call_within(BEGIN_SECONDS, session.begin(self._position))
        except APIError as refused:
            raise ConnectionError(f"stream {self._stream}: {refused.description}") from refused


async def stream_seen(
    connection: NatsConnection, name: str, *, subjects: Sequence[str], is_made_later: bool = False
) -> str:
    """What the stream `name` holds. Raises Amiss: it does not keep `subjects`, or is not there, unless it is
    made by who needs it."""
    from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

    try:
        stream = await connection.client.jetstream(timeout=BEGIN_SECONDS).stream_info(name)
    except NotFoundError:
        if is_made_later:
            return f"the stream {name} is made with the first event"
        raise Amiss(
            f"there is no stream {name}", hint="Make it: docs/operations.md has the command."
        ) from None
    except ServiceUnavailableError:
        raise Amiss("this NATS has no JetStream", hint="Start it with --jetstream.") from None
    except APIError as refused:
        raise Amiss(f"stream {name}: {refused.description}") from None
    kept = stream.config.subjects
    lacking = uncovered(subjects, by=kept) if kept else []
    if lacking and not (stream.config.sources or stream.config.mirror):
        raise Amiss(f"stream {name} does not keep {', '.join(lacking)}", hint="Add these to its subjects.")
    return f"stream {name} has {stream.state.messages:,} messages"


class JetStreamSession:
    """One connection and a consumer. Batches are asked for, so that the server waits for slow links."""

    def __init__(
        self, connection: NatsConnection, stream: str, bridged: Sequence[BridgedSubject], inbox: Inbox
    ) -> None:
        self._connection, self._stream, self._inbox = connection, stream, inbox
        self._topics: list[tuple[BridgedSubject, dict[str, str]]] = [(each, {}) for each in bridged]
        self._clock = asyncio.get_running_loop().time
        self._requests, self._left = 0, 0  # how many there were, and what the last one may bring still
        self._is_over = asyncio.Event()
        self._failure: Exception | None = None
        self._heard_at = self._clock()
        self._received = 0
        self.made: datetime | None = None
        self.sequence = 0
        self.may_have_missed = True

    async def begin(self, before: Position | None) -> None:
        """Have the consumer made. Raises what the client library does."""
        from nats.js.api import AckPolicy, DeliverPolicy

        client = self._connection.client
        jetstream = client.jetstream()
        stream = await jetstream.stream_info(self._stream)
        subjects = fewest(each.any_subject for each, _ in self._topics)
        self._warn_of_others(subjects, stream)
        begin, self.may_have_missed = Position.resumed(before, stream, now=self._clock())
        self.made, self.sequence = begin.made, begin.sequence
        self._replies = client.new_inbox()
        await self._connection.subscribe(f"{self._replies}.*", self._take)
        consumer = await jetstream.add_consumer(
            self._stream,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=begin.sequence + 1,
            ack_policy=AckPolicy.NONE,
            filter_subjects=subjects,
            inactive_threshold=FORGOTTEN_SECONDS,
            mem_storage=True,
            num_replicas=1,
        )
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{consumer.name}"

    def _warn_of_others(self, subjects: Sequence[str], stream: StreamInfo) -> None:
        """Of which the server says nothing. What a stream takes from other streams, it need not name."""
        kept = stream.config.subjects
        lacking = uncovered(subjects, by=kept) if kept else []
        if lacking and not (stream.config.sources or stream.config.mirror):
            extra = {"stream": self._stream, "subjects": lacking}
            logger.warning("a stream does not keep all that its bridge is to bring", extra=extra)

    async def subscribe(self, topics: Sequence[str]) -> None:
        """All is read anyway."""
        for topic in topics:
            for each, wanted in self._topics:
                subject = each.subject_of(topic)
                if subject is not None:
                    wanted[subject] = topic

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        for topic in topics:
            for each, wanted in self._topics:
                wanted.pop(each.subject_of(topic) or "", None)

    async def last(self) -> NoReturn:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._connection.last(), name="jetstream:connection")
            tasks.create_task(self._read_forever(), name="jetstream:read")
        raise AssertionError("unreachable: the tasks end by failing")

    async def _read_forever(self) -> NoReturn:
        most_bytes = max(BATCH_BYTES, self._connection.client.max_payload + (64 << 10))
        request = {
            "batch": BATCH_MESSAGES,
            "max_bytes": most_bytes,
            "expires": PULL_SECONDS * _NANOSECONDS,
            "idle_heartbeat": HEARTBEAT_SECONDS * _NANOSECONDS,
        }
        while True:
            self._requests += 1
            self._left = BATCH_MESSAGES
            self._is_over.clear()
            self._heard_at = self._clock()
            reply = f"{self._replies}.{self._requests}"
            publish = self._connection.client.publish(self._next, json.dumps(request).encode(), reply=reply)
            await call_within(SILENCE_SECONDS, publish)
            await self._batch()
            await self._inbox.worked_off()

    async def _batch(self) -> None:
        """Wait for the end of the answer to a request. Raises what it failed of, and TimeoutError."""
        while not self._is_over.is_set():
            await wait_at_most(HEARTBEAT_SECONDS, self._is_over.wait())
            if self._clock() - self._heard_at > SILENCE_SECONDS:
                raise TimeoutError(f"JetStream has been silent for {SILENCE_SECONDS:g} s")
        if self._failure is not None:
            raise self._failure

    def _take(self, message: Msg) -> None:
        """Messages, which have the subjects that they were published to, and words about the request."""
        self._heard_at = self._clock()
        if message.subject.startswith(self._replies):
            if message.subject == f"{self._replies}.{self._requests}":
                self._take_word(message.headers or {})
        elif self._failure is None:
            self._take_message(message)

    def _take_word(self, headers: dict[str, str]) -> None:
        status, text = headers.get("Status", ""), headers.get("Description", "")
        if status == "100":  # a heartbeat
            return
        if status not in _READ_ON and not text.startswith(_READ_ON_TEXTS):
            self._fail(f"JetStream has ended the reading: {status} {text}")
        self._is_over.set()

    def _take_message(self, message: Msg) -> None:
        number = message.metadata.sequence
        self._received += 1
        if number.consumer != self._received:
            self._fail(f"message {self._received} of a consumer was lost, {number.consumer} came")
            return
        for each, wanted in self._topics:
            topic = wanted.get(each.subject_in(message.subject) or "")
            if topic is not None:
                self._inbox.put(topic, message.subject, message.data)
        self.sequence = number.stream
        self._left -= 1
        if not self._left:
            self._is_over.set()

    def _fail(self, why: str) -> None:
        if self._failure is None:
            self._failure = ConnectionError(why)
        self._is_over.set()
