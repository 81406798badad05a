"""The reference KB service: sockets in, the game's answers out. The rules are in game.py and protocol.py."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response
from websockets.typing import Subprotocol

from experience.kb import protocol
from experience.kb.announcer import Announcer
from experience.kb.game import Collect, MoveRefused, Player, Talk, Turn
from experience.kb.handshake import SUBPROTOCOL, Verify, Visit, admit
from experience.kb.players import PlayersUnavailable
from proxy.api import PROBE_USER_AGENT, GatewayError, Overloaded, one_line, user_topic

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class KbLimits:
    """Bounds of the service. Durations are seconds, sizes bytes."""

    max_connections: int = 10_000
    max_message_bytes: int = 64 * 1024
    max_queued_messages: int = 16
    handshake_timeout_seconds: float = 10.0
    send_timeout_seconds: float = 10.0
    close_timeout_seconds: float = 5.0
    ping_interval_seconds: float = 20.0


class PlayerStore(Protocol):
    """Where players are kept; `players.Players` is the one."""

    async def read(self, experience: str, user_id: str) -> Player: ...
    async def play(self, experience: str, user_id: str, move: Any) -> Turn: ...


class KbService:
    """Answers every socket. Owns no task: the server runs one `serve_socket` for each connection."""

    def __init__(
        self, *, verify: Verify, players: PlayerStore, announcer: Announcer, limits: KbLimits | None = None
    ) -> None:
        self._verify, self._players, self._announcer = verify, players, announcer
        self._limits = limits or KbLimits()
        # Weak: a handshake that is admitted and then fails leaves nothing behind.
        self._visits: WeakKeyDictionary[ServerConnection, Visit] = WeakKeyDictionary()
        self._open: set[ServerConnection] = set()

    @asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[Server]:
        """Serve until the context ends; then every socket is closed with 1001."""
        limits = self._limits
        server = await serve(
            self.serve_socket,
            host,
            port,
            process_request=self.answer_handshake,
            select_subprotocol=choose_subprotocol,
            compression=None,
            open_timeout=limits.handshake_timeout_seconds,
            ping_interval=limits.ping_interval_seconds,
            close_timeout=limits.close_timeout_seconds,
            max_size=limits.max_message_bytes,
            max_queue=limits.max_queued_messages,
            server_header=None,
        )
        try:
            yield server
        finally:
            server.close(code=1001, reason="restart")
            await self._wait_closed(server)

    async def _wait_closed(self, server: Server) -> None:
        """Until all sockets are closed; those of clients that do not even read the close are cut."""
        try:
            async with asyncio.timeout(self._limits.close_timeout_seconds + 1):
                await server.wait_closed()
        except TimeoutError:
            for connection in self._open:
                connection.transport.abort()
            await server.wait_closed()

    def answer_handshake(self, connection: ServerConnection, request: HttpRequest) -> Response | None:
        """The refusal of a handshake, the answer to `/health`, or None to go on and accept."""
        if request.path.partition("?")[0] == "/health":
            return json_response(connection, HTTPStatus.OK, {"status": "ok", "connections": len(self._open)})
        try:
            if len(self._open) >= self._limits.max_connections:
                raise Overloaded
            self._visits[connection] = admit(
                request.path,
                _authorization(request),
                verify=self._verify,
                connection_id=uuid.uuid4().hex,
            )
        except GatewayError as error:
            logged = {"status": error.status, "why": str(error), "request_id": _request_id(request)}
            logger.log(_refusal_level(request), "socket refused", extra=logged)
            return refusal(connection, error)
        return None

    async def serve_socket(self, connection: ServerConnection) -> None:
        """Greet, then answer each message before the next is read, until the socket closes."""
        visit = self._visits[connection]
        fields = {
            "connection_id": visit.connection_id,
            "user_id": visit.user_id,
            "experience": visit.world.name,
        }
        logged = {**fields, "request_id": _request_id(connection.request)}
        self._open.add(connection)
        logger.info("socket opened", extra=logged)
        try:
            await self._send(connection, protocol.connected(**fields, timestamp=now_milliseconds()))
            async for message in connection:
                await self._send(connection, await self._answer(visit, message))
        except ConnectionClosed:
            pass
        finally:
            self._open.discard(connection)
            logger.info("socket closed", extra={**logged, "close_code": connection.close_code})

    async def _send(self, connection: ServerConnection, text: str) -> None:
        try:
            async with asyncio.timeout(self._limits.send_timeout_seconds):
                await connection.send(text)
        except TimeoutError:
            connection_id = self._visits[connection].connection_id
            logger.warning("slow consumer", extra={"connection_id": connection_id})
            await self._close_slow(connection)

    async def _close_slow(self, connection: ServerConnection) -> None:
        # The library bounds the wait for the answer to a close, but not the sending of the close itself.
        try:
            async with asyncio.timeout(self._limits.close_timeout_seconds):
                await connection.close(1008, "slow consumer")
        except TimeoutError:
            connection.transport.abort()

    async def _answer(self, visit: Visit, message: str | bytes) -> str:
        try:
            request = protocol.parse(message)
        except protocol.InvalidMessage as invalid:
            return protocol.error(invalid.code, invalid.message, request_id=invalid.request_id)
        try:
            return await self._fulfil(visit, request)
        except PlayersUnavailable as unavailable:
            logger.error("players unavailable", extra={"why": str(unavailable)})
            return protocol.error(
                "unavailable", "Not now; get_state tells what was kept.", request_id=request.request_id
            )

    async def _fulfil(self, visit: Visit, request: protocol.Request) -> str:
        content, request_id = request.content, request.request_id
        if isinstance(content, protocol.Ping):
            return protocol.pong(content, request_id=request_id, timestamp=now_milliseconds())
        if isinstance(content, protocol.GetState):
            player = await self._players.read(visit.world.name, visit.user_id)
            return protocol.state(visit.world, player, request_id=request_id)
        return await self._play(visit, content, request_id)

    async def _play(self, visit: Visit, move: Collect | Talk, request_id: str | None) -> str:
        try:
            turn = await self._players.play(visit.world.name, visit.user_id, partial(move.play, visit.world))
        except MoveRefused as refused:
            return protocol.move_refused(
                move, code=refused.code, message=refused.message, request_id=request_id
            )
        if turn.changed:
            event = protocol.state_changed(visit.world, turn.player, timestamp=now_milliseconds())
            self._announcer.announce(user_topic(visit.user_id), event)
        return protocol.turn_taken(visit.world, move, turn, request_id=request_id)


async def run_service(
    service: KbService, announcer: Announcer, *, host: str, port: int, stop: asyncio.Event
) -> None:
    """Listen until `stop` is set, then close every socket with 1001 and publish what is still queued."""
    async with asyncio.TaskGroup() as tasks:
        publishing = tasks.create_task(announcer.run(), name="kb:announcer")
        async with service.listening(host, port) as server:
            logger.info("listening", extra={"addresses": addresses(server)})
            await stop.wait()
        try:
            async with asyncio.timeout(5):
                await announcer.finish()
                await asyncio.wait([publishing])
        except TimeoutError:
            publishing.cancel()
    logger.info("stopped")


def choose_subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """`kb.v1` if the client offers it; else none, which is no reason to refuse."""
    return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in offered else None


def refusal(connection: ServerConnection, error: GatewayError) -> Response:
    """The error's status, with a JSON body of its code and message."""
    response = json_response(
        connection, HTTPStatus(error.status), {"code": error.code, "message": error.message}
    )
    if error.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(max(1, round(error.retry_after_seconds)))
    return response


def json_response(connection: ServerConnection, status: HTTPStatus, body: dict[str, Any]) -> Response:
    response = connection.respond(status, json.dumps(body) + "\n")
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "application/json"
    return response


def now_milliseconds() -> int:
    return time.time_ns() // 1_000_000


def _authorization(request: HttpRequest) -> str:
    values = request.headers.get_all("Authorization")
    return values[0] if values else ""


def _refusal_level(request: HttpRequest) -> int:
    """A gateway's probe says who it is, has no token, and comes every few seconds."""
    return logging.DEBUG if PROBE_USER_AGENT in request.headers.get_all("User-Agent") else logging.INFO


def _request_id(request: HttpRequest | None) -> str:
    """What the gateway calls this handshake, so that its log lines and ours can be joined; "" without one."""
    values = request.headers.get_all("X-Request-Id") if request is not None else ()
    return one_line(values[0], 64) if values else ""


def addresses(server: Server) -> list[str]:
    """Where it listens, as `host:port`."""
    return ["{}:{}".format(*listening.getsockname()) for listening in server.sockets]
