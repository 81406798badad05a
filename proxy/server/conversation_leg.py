"""An accepted client whose application exchanges whole messages with it.

Reading stops while the application has too much to receive; `send` waits while the client has too much to
read, and a client that makes no progress is closed.
"""

from __future__ import annotations

import asyncio
from typing import Any

from proxy import metrics
from proxy.core import closes
from proxy.core.closes import Close, ClosedBy
from proxy.core.limits import LinkLimits
from proxy.server.client_socket import ClientSocket
from proxy.server.clients import Client
from proxy.server.conversation import Conversation, Message
from proxy.server.counting import count_failure
from proxy.server.reading import Reading


class ConversationLeg(ClientSocket):
    """From the accept to the end of the socket. Not spliced."""

    __slots__ = (
        "_client",
        "_heard_at",
        "_inbox",
        "_limits",
        "_moved_at",
        "_pinged_at",
        "_reading",
        "_write_waiters",
        "is_live",
    )
    is_live: bool

    def __init__(
        self, client: Client, transport: asyncio.Transport, limits: LinkLimits | None = None
    ) -> None:
        """`limits`: the application's for this client; None: the server's."""
        clients, inbox = client.clients, client.inbox
        assert inbox is not None  # noqa: S101  its application has accepted, or there is none
        super().__init__(clients.loop)
        self._client, self._inbox, self._transport = client, inbox, transport
        self.is_live = True
        # On the loop's clock: when anything was heard, when a message passed, when we pinged (0: never).
        self._heard_at = self._moved_at = self.loop.time()
        self._pinged_at = 0.0
        self._limits = clients.options.limits if limits is None else limits
        self._write_waiters: list[asyncio.Future[None]] | None = None  # not None: writing is stopped
        max_bytes = self._limits.max_message_bytes
        self._reading = Reading(self, transport, inbox, max_message_bytes=max_bytes)
        client.leg = self
        transport.set_protocol(self)

    # --- The socket, called by the event loop -----

    def data_received(self, data: bytes) -> None:
        self._heard_at = self.loop.time()
        self._reading.feed(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_live = False
        self.clear_deadline()
        self._release_writers()
        self._reading.end()
        self._client.socket_gone()
        del self._client  # a cycle; who is not live needs it no more

    # --- The client reads, or does not -----

    @property
    def is_stalled(self) -> bool:
        """True while the client has more to read than the transport should hold."""
        return self._write_waiters is not None

    def pause_writing(self) -> None:
        if self._write_waiters is None:
            self._write_waiters = []
        if self.is_live:
            metrics.child(metrics.BACKPRESSURE_EVENTS_TOTAL, metrics.NO_ROUTE).inc()
            self._watch_stall()

    def resume_writing(self) -> None:
        if self.is_live:
            self.clear_deadline()
        self._release_writers()

    def _release_writers(self) -> None:
        waiters, self._write_waiters = self._write_waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    async def _wait_for_room(self) -> None:
        """Return once the transport has room again, or the leg has ended; look which."""
        while self._write_waiters is not None:
            waiter = self.loop.create_future()
            self._write_waiters.append(waiter)
            await waiter

    def _watch_stall(self) -> None:
        unwritten_bytes = self._transport.get_write_buffer_size()
        self.set_deadline(self._limits.slow_consumer_seconds, self._look_at_stall, unwritten_bytes)

    def _look_at_stall(self, bytes_before: int) -> None:
        """Close a client that has read nothing all the while; slow progress is progress."""
        if self._transport.get_write_buffer_size() < bytes_before:
            self._watch_stall()
            return
        metrics.child(metrics.SLOW_CONSUMERS_TOTAL, metrics.NO_ROUTE).inc()
        self.close(closes.SLOW_CONSUMER, by=ClosedBy.GATEWAY)

    # --- Reading -----

    def take(self, messages: list[Message], conversation: Conversation) -> None:
        if self.is_live:
            self._pinged_at = 0.0
            for message in messages:
                self._moved_at = self._heard_at
                key = "text" if isinstance(message, str) else "bytes"
                self._inbox.put({"type": "websocket.receive", key: message}, size_bytes=len(message))
            if not conversation.is_open:
                self._closed_by_client(conversation)
        self._flush()

    def _closed_by_client(self, conversation: Conversation) -> None:
        """The client has closed, or has broken the rules and was closed for it."""
        self.is_live = False
        if conversation.failed_with is not None:
            self._client.end(conversation.failed_with, by=ClosedBy.GATEWAY)
        else:
            self._client.end(conversation.close_received or closes.LOST, by=ClosedBy.CLIENT)

    # --- Writing and closing -----

    async def send(self, message: dict[str, Any]) -> None:
        if not self.is_live:
            return
        kind = message["type"]
        if kind == "websocket.close":
            code = message.get("code")
            close = Close(closes.NORMAL.code if code is None else code, message.get("reason") or "")
            self.close(close, by=ClosedBy.GATEWAY)
            return
        text, data = message.get("text"), message.get("bytes")
        content: Message | None = data if text is None else text
        if kind != "websocket.send" or content is None or (text is not None and data is not None):
            raise ValueError(f"{kind} is out of place, or has not either text or bytes")
        if self.is_stalled:
            await self._wait_for_room()
        conversation = self._reading.conversation
        if self.is_live and conversation is not None:
            self._moved_at = self.loop.time()
            conversation.send(content)
            self._flush()

    def _flush(self) -> None:
        """Write what the conversation has to say, and end the socket when it says so."""
        conversation = self._reading.conversation
        if conversation is None:
            return
        data = conversation.bytes_to_write(without_pongs=self.is_stalled)
        if data:
            self._transport.write(data)
        if conversation.eof_due:
            self._reading.conversation = None
            self._hang_up(linger=conversation.failed_with is not None)

    def _hang_up(self, *, linger: bool) -> None:
        self.is_live = False
        if linger:
            self._reading.go_on()
        self._release_writers()
        self.hang_up(deadline_seconds=self._limits.close_timeout_seconds, linger=linger)

    def close(self, close: Close, *, by: ClosedBy) -> None:
        """The application hears of it at once."""
        conversation = self._reading.conversation
        if self.is_live and conversation is not None:
            self.is_live = False
            conversation.close(close)
            self._flush()
            self._release_writers()
            self.set_close_deadline(self._limits.close_timeout_seconds)
            self._client.end(close, by=by)
            self._reading.go_on()

    def application_ended(self, *, well: bool) -> None:
        self.close(closes.NORMAL if well else closes.INTERNAL_ERROR, by=ClosedBy.GATEWAY)

    def tick(self, now: float) -> None:
        """Idle links end, silent ones are pinged, dead ones end."""
        limits, conversation = self._limits, self._reading.conversation
        if not self.is_live or conversation is None or self.is_stalled:
            return
        if now - self._moved_at > limits.idle_timeout_seconds:
            self.close(closes.IDLE, by=ClosedBy.GATEWAY)
        elif self._reading.is_stopped:
            return
        elif self._pinged_at:
            if now - self._pinged_at > limits.ping_timeout_seconds:
                count_failure("ping_timeout")
                self.close(closes.PING_TIMEOUT, by=ClosedBy.GATEWAY)
        elif now - self._heard_at > limits.ping_interval_seconds:
            self._pinged_at = now
            conversation.ping()
            self._flush()
