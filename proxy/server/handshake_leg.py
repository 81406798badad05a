"""A client that waits for the answer to its upgrade: the application's, or the server's own.

From its answer on the socket is another's: a conversation's, a splice's, or, refused, nobody's.
"""

from __future__ import annotations

import asyncio
from typing import Any

from proxy.core import closes, errors
from proxy.core.closes import Close, ClosedBy
from proxy.engine.links.splice import Splice
from proxy.engine.links.terms import SpliceRequest
from proxy.server import handshake
from proxy.server.answers import Accepted, PendingAnswer, Refused, accept_to_refuse, refusal
from proxy.server.client import Client
from proxy.server.client_socket import ClientSocket
from proxy.server.conversation_leg import ConversationLeg
from proxy.server.counting import count_refusal
from proxy.server.handed_over import HandedOver
from proxy.server.handshake import BadHandshake, UpgradeRequest
from proxy.server.offer import SpliceOffer


class HandshakeLeg(ClientSocket):
    """The first leg of each client."""

    __slots__ = ("_answer", "_client", "_early", "_offer", "is_answered")

    is_live = False

    def __init__(self, client: Client, request: UpgradeRequest) -> None:
        super().__init__(client.registry.loop)
        self._client, self._early, self.is_answered = client, request.early, False
        # Both as long as the application is asked.
        self._answer: PendingAnswer | None = None
        self._offer: SpliceOffer | None = None
        client.leg = self

    # --- The socket, called by the event loop -----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if not self.is_answered:
            self._early += data
            self._check_early()

    def connection_lost(self, error: Exception | None) -> None:
        self._leave(ClosedBy.CLIENT)
        self._client.socket_gone()
        del self._client  # a cycle; who is answered needs it no more

    # --- The answer -----

    def open(self, request: UpgradeRequest, accept_key: str) -> None:
        """Let the application decide about a valid request."""
        options = self._client.registry.options
        self._answer = PendingAnswer(request, accept_key, max_body_bytes=options.max_refusal_bytes)
        if self._check_early():
            self.set_deadline(options.connect_timeout_seconds, self._on_no_answer)
            self._offer = SpliceOffer()
            offer = {"until_left": self._offer.until_left, "go_on_with": self._client.go_on_with}
            self._client.serve(handshake.scope_of(request, offer=offer))

    def _check_early(self) -> bool:
        """A client has to wait for the answer; a little impatience is kept, more is refused."""
        if len(self._early) <= self._client.registry.options.max_early_bytes:
            return True
        self.refuse(BadHandshake(400, "bytes before the answer to the handshake"), linger=True)
        return False

    def _on_no_answer(self) -> None:
        count_refusal("handshake_timeout")
        self.refuse(errors.UpstreamTimeout())

    async def send(self, message: dict[str, Any]) -> None:
        if self.is_answered or self._answer is None:
            if message.get("sluicegate.splice") is not None:  # the client left while it was dialled
                message["sluicegate.splice"].upstream.abort()
            return
        answer = self._answer.add(message)
        if isinstance(answer, Refused):
            self._refuse(answer)
        elif isinstance(answer, Accepted):
            self._accept(answer)

    def application_ended(self, *, well: bool) -> None:
        self.refuse(errors.GatewayError())

    def _accept(self, accepted: Accepted) -> None:
        early = self._end()
        self._transport.write(accepted.head)
        if accepted.splice is None:
            ConversationLeg(self._client, self._transport, accepted.limits).begin(early)
        else:
            self._hand_over(accepted.splice, early)

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

    def refuse(self, error: errors.GatewayError, *, linger: bool = False) -> None:
        """Answer with `error`'s status, if nothing has been answered yet."""
        if not self.is_answered:
            refused = refusal(error)
            if self._answer is not None:
                self._client.registry.on_refused(self._answer.request, refused.status)
            self._refuse(refused, linger=linger)

    def _refuse(self, refused: Refused, *, linger: bool = False) -> None:
        self._leave(ClosedBy.GATEWAY)
        self._transport.write(refused.response)
        deadline_seconds = self._client.registry.options.limits.close_timeout_seconds
        self.hang_up(deadline_seconds=deadline_seconds, linger=linger)

    def refuse_with_close(self, error: errors.GatewayError, request: UpgradeRequest, accept_key: str) -> None:
        """Accept, then close with `error`'s close: for clients that cannot see a status."""
        self._end()
        self._transport.write(accept_to_refuse(request, accept_key))
        ConversationLeg(self._client, self._transport).close(error.as_close(), by=ClosedBy.GATEWAY)

    def close(self, close: Close, *, by: ClosedBy) -> None:
        """Nothing: who is not accepted cannot be closed."""

    def tick(self, now: float) -> None:
        """Nothing: the answer has a deadline."""

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
        self.is_answered, self._answer, self._offer = True, None, None
        return early
