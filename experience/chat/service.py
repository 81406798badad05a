"""The chat service as an ASGI application: sockets, and what operators ask."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from experience.chat import service_counts
from experience.chat.attendance import Attendance
from experience.chat.conversations import Unavailable
from experience.chat.handshake import NoParticipant, Verify, admit
from experience.chat.messages import Error, InvalidMessage, Ping, ServicePong, decode_client, encode
from experience.chat.operations import Operations
from experience.chat.sockets import ChatSocket, Send, Sockets
from proxy.api import (
    Answer,
    FixedPaths,
    GatewayError,
    NotFound,
    Overloaded,
    child,
    deny,
    prometheus,
)

log = logging.getLogger(__name__)

_NOBODY = Error("access_denied", "A socket without a token may ping, and no more.")

# Less than a gateway waits for a member, so that its client hears what is wrong.
JOIN_SECONDS = 4.0

Receive = Callable[[], Awaitable[dict[str, Any]]]


class Unread(Overloaded):
    """The database did not say in time what the socket is to hear."""

    code = "unavailable"
    message = "The chat cannot be read now; try again later."


class ChatService:
    """Owns no task of its own: the server runs one for each request, and each socket one that writes."""

    def __init__(self, *, verify: Verify, attendance: Attendance, operations: Operations) -> None:
        self._verify, self._attendance, self._operations = verify, attendance, operations
        self.sockets = Sockets()
        self._pages = FixedPaths(_not_found, {"/health": self._health, "/metrics": prometheus})

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._serve(scope, receive, send)
        elif scope["type"] == "http":
            await self._pages(dict(scope), receive, send)

    async def _health(self, _: object) -> Answer:
        return Answer.of(200, status="ok", connections=self.sockets.count)

    async def _serve(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        try:
            visit = admit(scope["path"], scope["query_string"], scope["headers"], verify=self._verify)
            if visit.user_id is None:
                _count("health_check")
                await _answer_pings(receive, send)
            else:
                await self._attend(ChatSocket(send, user_id=visit.user_id, only=visit.only), receive, send)
        except GatewayError as error:
            _count(error.outcome)
            await deny(send, error)

    async def _attend(self, socket: ChatSocket, receive: Receive, send: Send) -> None:
        try:
            await self._join(socket)
            await self._converse(socket, receive, send)
        finally:
            self._attendance.leave(socket)

    async def _join(self, socket: ChatSocket) -> None:
        try:
            async with asyncio.timeout(JOIN_SECONDS):
                await self._attendance.attend(socket)
        except KeyError:
            raise NoParticipant from None
        except (Unavailable, TimeoutError):
            raise Unread from None

    async def _converse(self, socket: ChatSocket, receive: Receive, send: Send) -> None:
        """From the accept to the end of the socket."""
        _count("accepted")
        await send({"type": "websocket.accept"})
        count_out = self.sockets.add(socket)
        try:
            async with asyncio.TaskGroup() as tasks:
                writing = tasks.create_task(socket.write(), name="chat:write")
                await self._hear(socket, receive)
                writing.cancel()
        finally:
            count_out()

    async def _hear(self, socket: ChatSocket, receive: Receive) -> None:
        while (event := await receive())["type"] == "websocket.receive":
            text = event.get("text")
            if text is None:
                socket.refuse("validation_error", "Send text: nothing binary is understood.")
            else:
                await self._operations.hear(socket, text.encode())


def _count(outcome: str) -> None:
    child(service_counts.HANDSHAKES_TOTAL, outcome).inc()


async def _not_found(_scope: Mapping[str, Any], _receive: Receive, send: Send) -> None:
    await Answer.of(404, code=NotFound.code, message="Only /health and /metrics are answered here.").send(
        send
    )


async def _answer_pings(receive: Receive, send: Send) -> None:
    """A health check of the gateway, which is nobody's socket."""
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        try:
            is_ping = isinstance(decode_client((event.get("text") or "").encode()), Ping)
        except InvalidMessage:
            is_ping = False
        await send({"type": "websocket.send", "text": encode(ServicePong() if is_ping else _NOBODY)})
