"""The client's socket, from the upgrade to its end, and the ASGI calls of the application that serves it.

Before accept the application decides; after it, whole messages are exchanged, or the leg is spliced with an
upstream one. Reading stops while the application has too much to receive; `send` waits while the client has
too much to read, and a client that makes no progress is closed.
"""

from __future__ import annotations

import asyncio
import logging
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from proxy import metrics
from proxy.core import closes, errors
from proxy.core.closes import Close, ClosedBy
from proxy.engine.links.splice import Splice, SpliceRequest
from proxy.server import handshake
from proxy.server.answers import Accepted, PendingAnswer, Refused, accept_to_refuse, refusal
from proxy.server.conversation import Conversation, Message
from proxy.server.counting import count_failure, count_refusal
from proxy.server.flow import FlowControlled
from proxy.server.handshake import BadHandshake, UpgradeRequest
from proxy.server.inbox import Event, Inbox
from proxy.server.offer import SpliceOffer
from proxy.server.reading import Reading

if TYPE_CHECKING:
    from proxy.server.clients import Clients

log = logging.getLogger("gateway.server")


class State(IntEnum):
    """Where a leg stands; it only ever moves forward."""

    CONNECTING = 0
    OPEN = 1
    SPLICED = 2
    CLOSING = 3
    CLOSED = 4


class ClientLeg(FlowControlled):
    """One client. Its node keeps it until its socket is gone and its application has ended."""

    __slots__ = (
        "_answer",
        "_clients",
        "_disconnect",
        "_early",
        "_heard_at",
        "_inbox",
        "_is_unsplicing",
        "_moved_at",
        "_offer",
        "_pinged_at",
        "_reading",
        "_splice",
        "state",
        "task",
    )

    def __init__(self, clients: Clients, request: UpgradeRequest) -> None:
        super().__init__(clients.loop)
        self._clients = clients
        self.state = State.CONNECTING
        self.task: asyncio.Future[None] | None = None
        self._answer: PendingAnswer | None = None
        self._early = request.early
        self._reading: Reading | None = None
        self._splice: Splice | None = None
        self._inbox = Inbox(
            max_bytes=clients.options.receive_queue_bytes, max_events=clients.options.receive_queue_messages
        )
        self._disconnect: Event | None = None
        # On the loop's clock: when anything was heard, when a message passed, when we pinged (0: never).
        self._heard_at = self._moved_at = clients.loop.time()
        self._pinged_at = 0.0
        self._is_unsplicing = False
        self._offer: SpliceOffer | None = None

    @property
    def is_live(self) -> bool:
        """Accepted, and nobody has begun to close it."""
        return self.state is State.OPEN or (self.state is State.SPLICED and not self._is_unsplicing)

    @property
    def is_open(self) -> bool:
        """Accepted, not spliced, and not closing."""
        return self.state is State.OPEN

    @property
    def _conversation(self) -> Conversation | None:
        return None if self._reading is None else self._reading.conversation

    @property
    def is_gone(self) -> bool:
        return self.state is State.CLOSED

    # --- The socket, called by the event loop -----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._heard_at = self.loop.time()
        if self._reading is not None:
            self._reading.feed(data)
        elif self.state is State.CONNECTING:
            self._early += data
            self._check_early()

    def eof_received(self) -> bool | None:
        return None  # the transport flushes and closes itself

    def connection_lost(self, error: Exception | None) -> None:
        self.state = State.CLOSED
        self.clear_deadline()
        self.release_writers()
        self._answer = None
        if self._reading is not None:
            self._reading.end()
            self._reading = None
        self._end(closes.LOST, by=ClosedBy.CLIENT)
        self._clients.let_go(self)

    def pause_writing(self) -> None:
        self.stop_writers()
        if self.state is State.OPEN:
            metrics.child(metrics.BACKPRESSURE_EVENTS_TOTAL, metrics.NO_ROUTE).inc()
            self.watch_stall(self._clients.options.limits.slow_consumer_seconds, self._on_stall)

    def resume_writing(self) -> None:
        if self.state is State.OPEN:
            self.clear_deadline()
        self.release_writers()

    def _on_stall(self) -> None:
        metrics.child(metrics.SLOW_CONSUMERS_TOTAL, metrics.NO_ROUTE).inc()
        self.close(closes.SLOW_CONSUMER, by=ClosedBy.GATEWAY)

    # --- The opening handshake -----

    def open(self, request: UpgradeRequest, accept_key: str) -> None:
        """Let the application decide about a valid request."""
        options = self._clients.options
        self._answer = PendingAnswer(request, accept_key, max_body_bytes=options.max_refusal_bytes)
        if not self._check_early():
            return
        self.set_deadline(options.connect_timeout_seconds, self._on_no_answer)
        self._inbox.put({"type": "websocket.connect"})
        try:
            self._offer = SpliceOffer()
            scope = handshake.scope_of(request, offer=self._offer)
            running = self._clients.application(scope, self.receive, self.send)
        except Exception as error:  # noqa: BLE001  an application's outermost edge
            self._application_failed(error)
            self.refuse(errors.GatewayError())
            return
        self.task = asyncio.ensure_future(running, loop=self.loop)
        self.task.add_done_callback(self._on_application_end)

    def _check_early(self) -> bool:
        """A client has to wait for the answer; a little impatience is kept, more is refused."""
        if len(self._early) <= self._clients.options.max_early_bytes:
            return True
        self.refuse(BadHandshake(400, "bytes before the answer to the handshake"), linger=True)
        return False

    def _on_no_answer(self) -> None:
        count_refusal("handshake_timeout")
        self.refuse(errors.UpstreamTimeout())

    def _answer_with(self, message: dict[str, Any]) -> None:
        assert self._answer is not None  # noqa: S101  as long as the state is CONNECTING
        answer = self._answer.add(message)
        if isinstance(answer, Refused):
            self._refuse(answer)
        elif isinstance(answer, Accepted):
            self._accept(answer)

    def _accept(self, accepted: Accepted) -> None:
        self._answer = self._offer = None
        self.clear_deadline()
        early, self._early = self._early, b""
        self._transport.write(accepted.head)
        if accepted.splice is not None:
            self._join(accepted.splice, early)
            return
        self._moved_at = self.loop.time()
        reading = self._begin_to_read()
        if early:
            reading.feed(early)

    def _begin_to_read(self) -> Reading:
        self.state = State.OPEN
        max_message_bytes = self._clients.options.limits.max_message_bytes
        self._reading = Reading(self, self._transport, self._inbox, max_message_bytes=max_message_bytes)
        return self._reading

    def _join(self, request: SpliceRequest, early: bytes) -> None:
        """Hand the socket to a splice; from now on this leg only passes ASGI events on."""
        self.state = State.SPLICED
        self._transport.pause_reading()
        try:
            self._splice = Splice(self._transport, request, early=early, on_client_gone=self._on_client_gone)
        except BaseException:
            self._transport.set_protocol(self)
            self._transport.abort()
            raise

    def _on_client_gone(self) -> None:
        """What `connection_lost` is for a leg of its own; the splice still has to see the upstream off."""
        self.state = State.CLOSED
        self._end(closes.LOST, by=ClosedBy.CLIENT)
        self._clients.let_go(self)

    def refuse(self, error: errors.GatewayError, *, linger: bool = False) -> None:
        """Answer with `error`'s status, if nothing has been answered yet."""
        if self.state is State.CONNECTING:
            refused = refusal(error)
            if self._answer is not None:
                self._clients.on_refused(self._answer.request, refused.status)
            self._refuse(refused, linger=linger)

    def _refuse(self, refused: Refused, *, linger: bool = False) -> None:
        self._answer, self._early = None, b""
        self._transport.write(refused.response)
        self._hang_up(linger=linger)
        self._end(closes.LOST, by=ClosedBy.GATEWAY)

    def refuse_with_close(self, error: errors.GatewayError, request: UpgradeRequest, accept_key: str) -> None:
        """Accept, then close with `error`'s close: for clients that cannot see a status."""
        self._transport.write(accept_to_refuse(request, accept_key))
        self._begin_to_read()
        self.close(error.as_close(), by=ClosedBy.GATEWAY)

    # --- Reading -----

    def take(self, messages: list[Message], conversation: Conversation) -> None:
        if self.state is State.OPEN:
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
        self.state = State.CLOSING
        if conversation.failed_with is not None:
            self._end(conversation.failed_with, by=ClosedBy.GATEWAY)
        else:
            self._end(conversation.close_received or closes.LOST, by=ClosedBy.CLIENT)

    # --- Writing and closing -----

    def _flush(self) -> None:
        """Write what the conversation has to say, and end the socket when it says so."""
        reading = self._reading
        if reading is None or reading.conversation is None:
            return
        conversation = reading.conversation
        data = conversation.bytes_to_write(without_pongs=self.is_stalled)
        if data:
            self._transport.write(data)
        if conversation.eof_due:
            reading.conversation = None
            self._hang_up(linger=conversation.failed_with is not None)

    def _hang_up(self, *, linger: bool) -> None:
        self.state = max(self.state, State.CLOSING)
        if linger and self._reading is not None:
            self._reading.go_on()
        self.hang_up(deadline_seconds=self._clients.options.limits.close_timeout_seconds, linger=linger)

    def close(self, close: Close, *, by: ClosedBy) -> None:
        """Start to close an accepted leg, under a deadline. The application hears of it at once."""
        reading, conversation = self._reading, self._conversation
        if self._splice is not None:
            self._is_unsplicing = True
            self._splice.end(close, by)
        elif self.state is State.OPEN and reading is not None and conversation is not None:
            self.state = State.CLOSING
            conversation.close(close)
            self._flush()
            self.release_writers()
            self.set_close_deadline(self._clients.options.limits.close_timeout_seconds)
            self._end(close, by=by)
            reading.go_on()

    def abort(self) -> None:
        if self._splice is not None:
            self._splice.abort()
        else:
            super().abort()

    def _end(self, close: Close, *, by: ClosedBy) -> None:
        """Tell the application, once; the first end wins."""
        if self._disconnect is None:
            self._disconnect = {
                "type": "websocket.disconnect",
                "code": close.code,
                "reason": close.reason,
                "sluicegate.closed_by": by,
            }
            self._inbox.wake()
            if self._offer is not None:
                self._offer.leave()

    def tick(self, now: float) -> None:
        """Look at the clock, about once a second: idle links end, silent ones are pinged, dead ones end."""
        limits = self._clients.options.limits
        reading, conversation = self._reading, self._conversation
        if self.state is not State.OPEN or reading is None or conversation is None or self.is_stalled:
            return
        if now - self._moved_at > limits.idle_timeout_seconds:
            self.close(closes.IDLE, by=ClosedBy.GATEWAY)
        elif reading.is_stopped:
            return
        elif self._pinged_at:
            if now - self._pinged_at > limits.ping_timeout_seconds:
                count_failure("ping_timeout")
                self.close(closes.PING_TIMEOUT, by=ClosedBy.GATEWAY)
        elif now - self._heard_at > limits.ping_interval_seconds:
            self._pinged_at = now
            conversation.ping()
            self._flush()

    # --- The application -----

    async def receive(self) -> Event:
        """ASGI receive. The last event is `websocket.disconnect`, however often one asks after it.

        Nothing else comes of a spliced leg: its life is told of what concerns it.
        """
        while True:
            event = self._inbox.get_nowait()
            if event is not None:
                reading = self._reading
                if reading is not None and reading.waits_for_room and self._inbox.has_room:
                    reading.go_on()
                return event
            if self._disconnect is not None:
                return self._disconnect
            await self._inbox.wait()

    async def send(self, message: dict[str, Any]) -> None:
        """ASGI send. Waits while the client has too much to read; does nothing once the leg has ended.

        Raises:
            ValueError: the event is malformed or out of place.
        """
        if self.state is State.OPEN:
            await self._send_open(message)
        elif self.state is State.CONNECTING:
            self._answer_with(message)
        elif message.get("sluicegate.splice") is not None:  # the client left while it was dialled
            message["sluicegate.splice"].upstream.abort()

    async def _send_open(self, message: dict[str, Any]) -> None:
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
            await self.wait_for_room()
        conversation = self._conversation
        if self.state is State.OPEN and conversation is not None:
            self._moved_at = self.loop.time()
            conversation.send(content)
            self._flush()

    def _on_application_end(self, task: asyncio.Future[None]) -> None:
        self.task = None
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._application_failed(error)
        if self.state is State.CONNECTING:
            self.refuse(errors.GatewayError())
        elif error is not None or task.cancelled() or self._splice is None:
            ended_well = error is None and not task.cancelled()
            self.close(closes.NORMAL if ended_well else closes.INTERNAL_ERROR, by=ClosedBy.GATEWAY)
        self._clients.let_go(self)

    def _application_failed(self, error: BaseException) -> None:
        log.error("application failed", exc_info=error)
        count_failure("application_error")
