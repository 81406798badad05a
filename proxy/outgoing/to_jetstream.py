"""A stream of NATS JetStream as the destination of events: each publish is confirmed, and known by its id."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NoReturn

from proxy.bridges.jetstream import stream_seen
from proxy.bridges.nats import NatsConnection, connected
from proxy.core.bridging.subjects import uncovered
from proxy.core.outgoing import Row
from proxy.engine.calls import call_within
from proxy.outgoing.destination import NotNow, Refused, Sent, Session

if TYPE_CHECKING:
    from nats.js import JetStreamContext
    from nats.js.api import StreamInfo

BEGIN_SECONDS = 10.0
ANSWER_SECONDS = 60.0  # the sender gives a silent broker up before
# What a stream that is made here keeps: events for so long, and for so long the ids that it has seen.
KEEP_SECONDS = 7 * 86_400
REMEMBER_SECONDS = 600
# JSStreamMessageExceedsMaximumErr: larger than the stream's own bound.
_TOO_LARGE = 10054


class ToJetStream:
    """`stream` gets all that is published to `subjects`, which may have wildcards. It is made where there is
    none; one that is there is taken as it is, if it has the subjects.

    A publish that is repeated within the stream's `duplicate_window` is there once.
    """

    def __init__(self, name: str, *, servers: Sequence[str], stream: str, subjects: Sequence[str]) -> None:
        from proxy.bridges.nats_client import Client

        self._client = Client
        self.name, self._servers, self._stream, self._subjects = name, servers, stream, list(subjects)

    async def look(self) -> str:
        """What is seen of it, for the doctor, who makes no stream. Raises ConnectionError, Amiss."""
        async with connected(self._client(), bridge=self.name, servers=self._servers) as connection:
            found = await stream_seen(connection, self._stream, subjects=self._subjects, is_made_later=True)
            return f"{await connection.seen()}; {found}"

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Connected to one of the servers; see `Destination`."""
        async with connected(self._client(), bridge=self.name, servers=self._servers) as connection:
            await self._see_to_stream(connection.client.jetstream(timeout=BEGIN_SECONDS))
            yield JetStreamSession(connection, self._stream)

    async def _see_to_stream(self, jetstream: JetStreamContext) -> None:
        """Raises ConnectionError with what is wrong with it, or with the server."""
        from nats.js.errors import APIError, ServiceUnavailableError

        try:
            stream = await call_within(BEGIN_SECONDS, self._found(jetstream))
        except ServiceUnavailableError:
            raise ConnectionError("this NATS has no JetStream") from None
        except APIError as refused:
            raise ConnectionError(f"stream {self._stream}: {refused.description}") from None
        kept = stream.config.subjects or []
        if lacking := uncovered(self._subjects, by=kept):
            raise ConnectionError(f"stream {self._stream} does not keep {', '.join(lacking)}")

    async def _found(self, jetstream: JetStreamContext) -> StreamInfo:
        from nats.js.errors import NotFoundError

        try:
            return await jetstream.stream_info(self._stream)
        except NotFoundError:
            return await jetstream.add_stream(
                name=self._stream,
                subjects=self._subjects,
                max_age=KEEP_SECONDS,
                duplicate_window=REMEMBER_SECONDS,
            )


class JetStreamSession:
    """One connection."""

    def __init__(self, connection: NatsConnection, stream: str) -> None:
        from nats.errors import NoRespondersError
        from nats.js.api import Header

        self._connection, self._stream = connection, stream
        self._no_stream = NoRespondersError
        self._message_id, self._expected_stream = Header.MSG_ID.value, Header.EXPECTED_STREAM.value

    async def send(self, row: Row) -> Sent:
        """See `Session`. A stream that is gone ends the session: the next one makes it."""
        client, body = self._connection.client, row.body.encode()
        if len(body) > client.max_payload - 1024:  # headers count, too
            raise Refused(f"{len(body)} bytes are more than this NATS takes")
        headers = {self._message_id: row.message_id, self._expected_stream: self._stream}
        try:
            answer = await client.request(row.subject, body, timeout=ANSWER_SECONDS, headers=headers)
        except self._no_stream:
            raise ConnectionError(f"no stream keeps {row.subject}") from None
        found = json.loads(answer.data)
        if "error" in found:
            self._refused(found["error"])
        return Sent.DOUBLED if found.get("duplicate") else Sent.SENT

    def _refused(self, error: dict[str, object]) -> NoReturn:
        if error.get("err_code") == _TOO_LARGE:
            raise Refused(str(error.get("description")))
        raise NotNow(str(error.get("description")))

    async def last(self) -> NoReturn:
        await self._connection.last()
