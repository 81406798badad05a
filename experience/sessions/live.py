"""A session over Pub/Sub: what is published is heard now, or never."""

from __future__ import annotations

from experience.sessions import counts, messages, names
from experience.sessions.leg import Relay, SessionLeg
from experience.settings import RELAY_OUTBOX_BYTES
from proxy.api import Subject


class LiveLeg(SessionLeg):
    """What its agent publishes goes to the client at once."""

    __slots__ = ("_early", "_early_bytes", "_since")

    def __init__(self, relay: Relay, subject: Subject) -> None:
        super().__init__(relay, subject)
        self._early: list[str | bytes] = []  # heard before the accept
        self._early_bytes = 0
        self._since = subject.query.get("since", "").encode()  # of a time when the session was durable

    def heard(self, channel: bytes, payload: bytes) -> None:
        message, client = messages.as_published(payload), self.client
        counts.count_latency(payload)
        if client is None:
            self._hear_early(message, len(payload))
            return
        client.push(message)
        self.watch_outbox(client)

    def _hear_early(self, message: str | bytes, size_bytes: int) -> None:
        """What comes before the accept: as much as may wait later, and one message more, which the link then
        finds too much."""
        if self._early_bytes <= RELAY_OUTBOX_BYTES:
            self._early.append(message)
            self._early_bytes += size_bytes

    def found_again(self) -> None:
        if self.client is None:
            self._hear_early(messages.RESYNC, len(messages.RESYNC))
        else:
            self.client.push(messages.RESYNC)

    def may_push(self) -> None:
        early, self._early = self._early, []
        if self.client is not None:
            if self._since:
                self.client.push(messages.position(self._since, recovered=False))
            for message in early:
                self.client.push(message)

    async def pass_on(self, message: str | bytes) -> None:
        await self.relay.asked("PUBLISH", names.up_channel(self.session_id), message)
