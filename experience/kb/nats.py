"""State changes published to a NATS, for whoever subscribes there: gateways, or other services."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from proxy.api import BridgedSubject, nats_client

if TYPE_CHECKING:
    from nats.aio.client import Client

# What a gateway's NATS_SUBJECTS has by default.
UPDATES = BridgedSubject("world.updates.user.{user_id}", "user:{user_id}")
ANSWER_SECONDS = 2
_DIAL_SECONDS, _CLOSE_SECONDS = 2, 0.5


class NatsUpdates:
    """One connection, made when there is something to say, and made anew after any failure.

    Where a stream of JetStream keeps the subject, what is published is known to be kept there; else to have
    reached the server. Where there is to be one, `see_to_stream` has it made, over each connection anew: a
    server may have lost it, and what came into none would be heard by nobody.
    """

    def __init__(
        self, servers: Sequence[str], *, see_to_stream: Callable[[Client], Awaitable[None]] | None = None
    ) -> None:
        self._servers, self._see_to_stream = list(servers), see_to_stream
        self._client: Client | None = None
        self._is_kept = False

    async def publish(self, topic: str, event: dict[str, Any]) -> None:
        """To be called for one event after the other, so that they keep their order.

        Raises:
            OSError, TimeoutError, nats.errors.Error: it may have gone out or not.
        """
        subject = UPDATES.subject_of(topic)
        if subject is None:
            raise ValueError("state changes are of users")
        payload = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
        try:
            await self._publish(await self._connected(subject), subject, payload)
        except BaseException:  # whatever the connection is good for, nobody knows it
            await self.close()
            raise

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await _close(client)

    async def _publish(self, client: Client, subject: str, payload: bytes) -> None:
        if self._is_kept:
            await client.jetstream().publish(subject, payload, timeout=ANSWER_SECONDS)
        else:
            await client.publish(subject, payload)
            await client.flush(ANSWER_SECONDS)

    async def _connected(self, subject: str) -> Client:
        if self._client is not None and self._client.is_connected:
            return self._client
        await self.close()
        self._client = client = nats_client()
        await _connect(client, self._servers)
        if self._see_to_stream is not None:
            await self._see_to_stream(client)
        self._is_kept = self._see_to_stream is not None or await _is_kept(client, subject)
        return client


@asynccontextmanager
async def connected(servers: Sequence[str]) -> AsyncIterator[Client]:
    """A connection for a moment. Raises OSError, TimeoutError or nats.errors.Error."""
    client = nats_client()
    try:
        await _connect(client, servers)
        yield client
    finally:
        await _close(client)


async def _connect(client: Client, servers: Sequence[str]) -> None:
    await client.connect(
        list(servers),
        name="kb",
        allow_reconnect=False,
        connect_timeout=_DIAL_SECONDS,
        max_reconnect_attempts=1,
        reconnect_time_wait=0,
        error_cb=_raised_elsewhere,
    )


async def _close(client: Client) -> None:
    with suppress(Exception):  # of what is broken already
        async with asyncio.timeout(_CLOSE_SECONDS):
            await client.close()


async def _is_kept(client: Client, subject: str) -> bool:
    """Whether a stream takes what is published there."""
    from nats.js.errors import NotFoundError, ServiceUnavailableError

    try:
        await client.jetstream(timeout=ANSWER_SECONDS).find_stream_name_by_subject(subject)
    except (NotFoundError, ServiceUnavailableError):  # no such stream, or no JetStream
        return False
    return True


async def _raised_elsewhere(_: Exception) -> None:
    """Who publishes or connects is told."""
