"""A session over streams: what was added while its client was away, or Redis lost, comes when both are back.

What is published to its channel says no more than that there is something new; each leg reads the stream from
where its client stands.
"""

from __future__ import annotations

import asyncio

from redis.exceptions import ResponseError

from experience.sessions import counts, messages, names, stream
from experience.sessions.leg import BACKPRESSURE_BYTES, Relay, SessionLeg
from experience.settings import RELAY_KEEP_BYTES, RELAY_KEEP_MESSAGES, RELAY_KEEP_SECONDS, RELAY_MOST_BYTES
from proxy.api import ClientSide, Close, CommandsAway, Subject, payload_bytes

_KEPT = stream.Kept(RELAY_KEEP_MESSAGES, RELAY_KEEP_SECONDS, RELAY_KEEP_BYTES)
# Of one read; and several are under way at once, over the connection of all.
_MOST_AT_ONCE, _MOST_BYTES_AT_ONCE = 100, 256 << 10
# Between looks at a client that has much to read, at first and at last, and between reads that fail.
_PAUSE_SECONDS, _MOST_PAUSE_SECONDS = 0.05, 1.0
_RETRY_SECONDS = 0.5
_UNREADABLE = Close(1011, "the session cannot be read")


class DurableLeg(SessionLeg):
    """Its client gets each message once, in however many connections."""

    __slots__ = ("_is_due", "_is_whole", "_key", "_place", "_reading", "_was_lost")

    def __init__(self, relay: Relay, subject: Subject) -> None:
        super().__init__(relay, subject)
        self._key = names.down_channel(self.session_id)
        self._place = stream.Place(subject.query.get("since", "").encode(), 0)
        self._is_whole = True  # nothing is missing before what comes next
        self._is_due = self._was_lost = False
        self._reading: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Subscribe first, so that nothing comes between what is found and what is heard of."""
        await super().begin()
        await self._find()

    async def _find(self) -> None:
        """See where the client stands in the stream that is there now."""
        answer = await self.relay.asked(*stream.find(self._key, self._place.id))
        self._place, self._is_whole = stream.found(answer)

    def heard(self, channel: bytes, payload: bytes) -> None:
        self._read_soon()

    def found_again(self) -> None:
        self._was_lost = True
        self._read_soon()

    def may_push(self) -> None:
        self._tell_place()
        self._read_soon()

    def _tell_place(self) -> None:
        if self.client is not None:
            self.client.push(messages.position(self._place.id, recovered=self._is_whole))

    def _read_soon(self) -> None:
        self._is_due = True
        if self.client is not None and self._reading is None:
            reading = self._read_on(self.client)
            self._reading = asyncio.get_running_loop().create_task(reading, name="session:read")

    async def _read_on(self, client: ClientSide) -> None:
        """Bring the client all that there is; one at a time, and until Redis is lost."""
        try:
            while self._is_due and self.lost_at is None:
                try:
                    await self._read(client)
                except (CommandsAway, TimeoutError):
                    await asyncio.sleep(_RETRY_SECONDS)
        except ResponseError as error:
            self.log.error("a session's stream cannot be read", extra={"why": str(error)})
            self.end(_UNREADABLE)
        except Exception:
            self.log.exception("a session's stream could not be brought to its client")
            self.end(_UNREADABLE)
        finally:
            self._reading = None

    async def _read(self, client: ClientSide) -> None:
        """One batch. Raises CommandsAway, TimeoutError, ResponseError; then it is due still."""
        if self._was_lost:  # nobody knows what became of the stream
            await self._find()
            self._was_lost = False
            if not self._is_whole:
                self._tell_place()
        self._is_due = False
        try:
            async with self.relay.reads:
                answer = await self.relay.asked(*self._next())
        except BaseException:
            self._is_due = True
            raise
        stood_at = self._place.id
        batch = self._place.take(answer)
        self._is_due = self._is_due or batch.has_more
        if batch.has_gap:
            client.push(messages.position(stood_at, recovered=False))
        for id_, payload in batch.entries:
            await self._push(client, _message(id_, payload))

    def _next(self) -> stream.Words:
        return stream.read(
            self._key,
            self._place,
            most=_MOST_AT_ONCE,
            most_bytes=_MOST_BYTES_AT_ONCE,
            kept=_KEPT,
        )

    async def _push(self, client: ClientSide, message: str) -> None:
        """Once there is room; what waits longer waits in the stream."""
        pause_seconds = _PAUSE_SECONDS
        while client.buffered_bytes > BACKPRESSURE_BYTES:  # nobody says when it has read
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _MOST_PAUSE_SECONDS)
        client.push(message)
        self.watch_outbox(client)

    async def pass_on(self, message: str | bytes) -> None:
        await self.relay.asked(*stream.add(names.up_channel(self.session_id), message, kept=_KEPT))

    def abort(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        super().abort()


def _message(id_: bytes, payload: bytes) -> str:
    """What the client gets of an entry: no message that would close it, each time it comes back."""
    counts.count_latency(payload)
    message = messages.positioned(payload, id_)
    if payload_bytes(message) > RELAY_MOST_BYTES:
        return messages.left_out(id_, size_bytes=len(payload))
    return message
