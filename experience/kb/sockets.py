"""The sockets of the reference service: greet, then answer each message before the next is read."""

from __future__ import annotations

import asyncio
import logging
import struct
from socket import SO_LINGER, SOL_SOCKET

from aiohttp import WSMsgType, web

from experience.kb import protocol
from experience.kb.answers import Answers, now_milliseconds
from experience.kb.handshake import SUBPROTOCOL, Visit
from experience.kb.limits import KbLimits
from proxy.api import Overloaded, one_line

logger = logging.getLogger(__name__)
# It warns of each client that offers other sub-protocols than ours, and names them: one may be a token.
logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)


class Sockets:
    """All that are open. Owns no task: the server runs one `serve` for each connection."""

    def __init__(self, answers: Answers, limits: KbLimits) -> None:
        self._answers, self._limits = answers, limits
        self._open: dict[web.WebSocketResponse, asyncio.Transport | None] = {}

    @property
    def count(self) -> int:
        return len(self._open)

    def make_room(self) -> None:
        """Raises Overloaded when there are as many as may be."""
        if len(self._open) >= self._limits.max_connections:
            raise Overloaded

    async def serve(self, request: web.Request, visit: Visit) -> web.WebSocketResponse:
        """Answer one socket until it closes. Raises HTTPBadRequest for what is no WebSocket handshake."""
        socket = self._socket(request)
        logged = {
            "connection_id": visit.connection_id,
            "user_id": visit.user_id,
            "experience": visit.world.name,
            "request_id": one_line(request.headers.get("X-Request-Id", ""), 64),
        }
        self._open[socket] = request.transport
        try:
            await socket.prepare(request)
            logger.info("socket opened", extra=logged)
            await self._converse(socket, visit)
        except (ConnectionError, SlowConsumer):
            pass
        finally:
            del self._open[socket]
            if socket.prepared:
                code = None if socket.close_code is None else int(socket.close_code)  # not WSCloseCode.OK
                logger.info("socket closed", extra={**logged, "close_code": code})
        return socket

    def _socket(self, request: web.Request) -> web.WebSocketResponse:
        offered = [each.strip() for each in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        limits = self._limits
        return web.WebSocketResponse(
            protocols=(SUBPROTOCOL,) if SUBPROTOCOL in offered else (),
            compress=False,
            heartbeat=limits.ping_interval_seconds,
            timeout=limits.close_timeout_seconds,
            max_msg_size=limits.max_message_bytes + 1,  # it refuses what is as long as this, too
        )

    async def _converse(self, socket: web.WebSocketResponse, visit: Visit) -> None:
        greeting = protocol.connected(
            connection_id=visit.connection_id,
            user_id=visit.user_id,
            experience=visit.world.name,
            timestamp=now_milliseconds(),
        )
        await self._send(socket, visit, greeting)
        async for message in socket:
            if message.type is WSMsgType.ERROR:  # the library has closed it, and says why in its code
                return
            answer = await self._answers.answer(visit, message.data)
            await self._send(socket, visit, answer.text)

    async def _send(self, socket: web.WebSocketResponse, visit: Visit, text: str) -> None:
        # Not under a timeout: the library's waits for a client share one future, which that would cancel.
        sending = asyncio.create_task(socket.send_str(text), name="kb:send")
        try:
            await asyncio.wait({sending}, timeout=self._limits.send_timeout_seconds)
            if sending.done():
                return sending.result()
            logger.warning("slow consumer", extra={"connection_id": visit.connection_id})
            await self._close(socket, code=1008, reason="slow consumer")
        finally:
            sending.cancel()
        raise SlowConsumer

    async def close_all(self) -> None:
        """Close every socket with 1001; those of clients that do not even read the close are cut."""
        await asyncio.gather(*(self._close(each, code=1001, reason="restart") for each in [*self._open]))

    async def _close(self, socket: web.WebSocketResponse, *, code: int, reason: str) -> None:
        transport = self._open[socket]
        if transport is None or not socket.prepared:
            return
        # The library bounds the wait for the answer to a close, but not the sending of the close itself, nor
        # of what waits before it: that may go on after its `close` has returned.
        deadline = asyncio.get_running_loop().call_later(self._limits.close_timeout_seconds, cut, transport)
        await socket.close(code=code, message=reason.encode())
        if not transport.get_write_buffer_size():
            deadline.cancel()


def cut(transport: asyncio.WriteTransport) -> None:
    """Reset the connection: a bare close would wait in the kernel for a client that reads nothing."""
    connection = transport.get_extra_info("socket")
    if connection.fileno() >= 0:
        connection.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", True, 0))
        transport.abort()


class SlowConsumer(Exception):
    """A client that reads too slowly has been closed."""
