"""A client that waits for the answer to its upgrade: the application's, or the server's own.

From its answer on the socket is another's: a conversation's, a splice's, or, refused, nobody's.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Coroutine
from typing import Any, TypeVar

from proxy import metrics
from proxy.core import closes
from proxy.core.closes import Close, ClosedBy
from proxy.core.errors import ClientLeft, GatewayError, UpstreamTimeout
from proxy.core.refusals import refusal_of
from proxy.engine.links.splice import Splice
from proxy.engine.links.terms import SpliceRequest
from proxy.server import access_log, handshake
from proxy.server.client_socket import ClientLeg, ClientSocket
from proxy.server.clients import Client, Clients
from proxy.server.conversation_leg import ConversationLeg
from proxy.server.counting import count_refusal
from proxy.server.handshake import BadHandshake, PendingAnswer, UpgradeRequest

log = logging.getLogger("gateway.server")

T = TypeVar("T")


class HandshakeLeg(ClientSocket):
    """The first leg of each client."""

    __slots__ = ("_answer", "_attaching", "_client", "_early", "_is_answered", "_offer", "_request")

    def __init__(self, clients: Clients, request: UpgradeRequest) -> None:
        super().__init__(clients.loop)
        self._request, self._early, self._is_answered = request, request.early, False
        # Both as long as the application is asked.
        self._answer: PendingAnswer | None = None
        self._offer: SpliceOffer | None = None
        self._client = Client(clients, self)

    def take(self, connection: socket.socket) -> None:
        """Serve the upgrade on its own socket, which is no longer anybody else's."""
        self._attaching = self.loop.create_task(self._attach(connection), name="upgrade")

    async def _attach(self, connection: socket.socket) -> None:
        try:
            await self.loop.connect_accepted_socket(lambda: self, connection)
        except OSError as error:
            log.info("client lost during the upgrade", extra={"error": str(error)})
            connection.close()
            self.connection_lost(error)
            return
        if not self._is_answered:
            self._begin()

    # --- The socket, called by the event loop -----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if not self._is_answered:
            self._early += data
            self._check_early()

    def connection_lost(self, error: Exception | None) -> None:
        self._leave(ClosedBy.CLIENT)
        self._client.socket_gone()
        del self._client  # a cycle; who is answered needs it no more

    # --- The answer -----

    def _begin(self) -> None:
        """Refuse what breaks the rules or finds no place; let the application decide about the rest."""
        clients = self._client.clients
        try:
            accept_key = handshake.accept_key_of(self._request)
        except BadHandshake as error:
            count_refusal("handshake")
            self.refuse(error)
            return
        refusal = clients.options.hooks.refusal(len(clients.present) - 1)
        if refusal is None:
            self._ask(accept_key)
            return
        metrics.child(metrics.REJECTIONS_TOTAL, metrics.NO_ROUTE, refusal.code).inc()
        if self._request.wants_refusal_as_close:
            self._refuse_with_close(refusal, accept_key)
        else:
            self.refuse(refusal)

    def _ask(self, accept_key: str) -> None:
        if not self._check_early():
            return
        options, request = self._client.clients.options, self._request
        self.set_deadline(options.connect_timeout_seconds, self._on_no_answer)
        self._answer = PendingAnswer(
            accept_key, request.subprotocols, max_body_bytes=options.max_refusal_bytes
        )
        self._offer = SpliceOffer()
        offer = {
            "until_left": self._offer.until_left,
            "go_on_with": self._client.go_on_with,
            "writer": self._client,
        }
        self._client.serve(handshake.scope_of(request, offer=offer))

    def _check_early(self) -> bool:
        """A client has to wait for the answer; a little impatience is kept, more is refused."""
        if len(self._early) <= self._client.clients.options.max_early_bytes:
            return True
        count_refusal("handshake")
        self.refuse(BadHandshake(400, "bytes before the answer to the handshake"), linger=True)
        return False

    def _on_no_answer(self) -> None:
        count_refusal("handshake_timeout")
        self.refuse(UpstreamTimeout())

    async def send(self, message: dict[str, Any]) -> None:
        splice: SpliceRequest | None = message.get("sluicegate.splice")
        if self._answer is None:
            if splice is not None:  # the client left while it was dialled
                splice.upstream.abort()
            return
        answer = self._answer.add(message)
        if answer is None:
            return
        if message["type"] != "websocket.accept":
            self._refuse(answer)
            return
        early = self._end()
        self._transport.write(answer)
        if splice is not None:
            self._hand_over(splice, early)
        else:
            leg = ConversationLeg(self._client, self._transport, message.get("sluicegate.limits"))
            if early:
                leg.data_received(early)

    def _hand_over(self, request: SpliceRequest, early: bytes) -> None:
        client, transport = self._client, self._transport
        transport.pause_reading()
        try:
            splice = Splice(transport, request, early=early, on_client_gone=client.socket_gone)
        except BaseException:
            transport.set_protocol(self)
            transport.abort()
            raise
        client.leg = HandedOver(splice)

    def application_ended(self, *, well: bool) -> None:
        self.refuse(GatewayError())

    def refuse(self, error: GatewayError, *, linger: bool = False) -> None:
        """Answer with `error`'s status, if nothing has been answered yet."""
        if not self._is_answered:
            refused = refusal_of(error)
            refused.headers.append((b"x-request-id", self._log_refused(error).encode()))
            self._refuse(handshake.refusal_bytes(*refused), linger=linger)

    def _refuse(self, response: bytes, *, linger: bool = False) -> None:
        self._leave(ClosedBy.GATEWAY)
        self._transport.write(response)
        deadline_seconds = self._client.clients.options.limits.close_timeout_seconds
        self.hang_up(deadline_seconds=deadline_seconds, linger=linger)

    def _refuse_with_close(self, error: GatewayError, accept_key: str) -> None:
        """Accept, then close with `error`'s close: for clients that cannot see a status."""
        self._log_refused(error)
        self._end()
        self._transport.write(handshake.accept_to_refuse(self._request, accept_key))
        ConversationLeg(self._client, self._transport).close(error.as_close(), by=ClosedBy.GATEWAY)

    def _log_refused(self, error: GatewayError) -> str:
        """Answers the id by which it is found."""
        options = self._client.clients.options
        record = access_log.refusal_record(self._request, error, proxies=options.trusted_proxies)
        access_log.log_refused(self._request, record)
        options.hooks.refused(record)
        return record.request_id

    # --- The end -----

    def _leave(self, by: ClosedBy) -> None:
        """The client has gone, or was refused: nobody waits for the application any more."""
        offer = self._offer
        self._end()
        self._client.end(closes.LOST, by=by)
        if offer is not None:
            offer.leave()

    def _end(self) -> bytes:
        """Nothing more is answered, and no answer is due; what came behind the request."""
        self.clear_deadline()
        early, self._early = self._early, b""
        self._is_answered, self._answer, self._offer = True, None, None
        return early


class SpliceOffer:
    """A `websocket.accept` may carry a `SpliceRequest`; and who dials for it need not watch the client."""

    __slots__ = ("_has_left", "_waiting")

    def __init__(self) -> None:
        self._has_left = False
        self._waiting: asyncio.Task[object] | None = None

    async def until_left(self, connecting: Coroutine[Any, Any, T]) -> T:
        """What `connecting` gives, in the caller's task; it is cancelled as soon as nobody waits for it.

        Raises:
            ClientLeft: the client has gone, or the server has answered in the application's place. Where that
                came first, `connecting` does not begin.
            CancelledError: this task was cancelled by others, a client that left as well or not.
        """
        if self._has_left:
            connecting.close()
            raise ClientLeft
        self._waiting = task = asyncio.current_task()
        try:
            return await connecting
        except asyncio.CancelledError:
            if self._has_left and task is not None and not task.uncancel():
                raise ClientLeft from None
            raise
        finally:
            self._waiting = None

    def leave(self) -> None:
        """For the server: nobody waits for the application's answer any more."""
        self._has_left = True
        if self._waiting is not None:
            self._waiting.cancel()


class HandedOver(ClientLeg):
    """What is left of a leg once a splice has its socket: what the server wishes is passed on.

    What the client does is the splice's, what comes of it the life's.
    """

    __slots__ = ("_splice",)

    def __init__(self, splice: Splice) -> None:
        self._splice = splice

    @property
    def is_live(self) -> bool:
        return self._splice.ended is None

    def close(self, close: Close, *, by: ClosedBy) -> None:
        self._splice.end(close, by)

    def abort(self) -> None:
        self._splice.abort()

    def application_ended(self, *, well: bool) -> None:
        if not well:
            self.close(closes.INTERNAL_ERROR, by=ClosedBy.GATEWAY)
