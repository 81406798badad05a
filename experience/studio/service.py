"""The reference studio service: a stand-in for one instance of the real one, to run and test against.

A client sends JSON, and gets:

- `{"type":"heartbeat"}`: `{"type":"ack"}`
- `{"type":"whoami"}`: `{"type":"whoami","instance","path","query","headers"}`, what the gateway passed on
- `{"type":"fail","how":HOW}`: with HOW `close`, the socket is closed with 1011; with `abort`, dropped without
  a close; with `refuse` or `hang`, all new handshakes are from now on; with `recover`, no more
- any other JSON: `{"type":"echo","instance","message"}`
- what is no JSON: `{"type":"error","code":"invalid_json","message"}`

Under `/socket.io/` it speaks Socket.IO, and every event comes back (experience/studio/socketio.py).
`GET /health` answers 200, or 503 while it refuses.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from experience.studio import socketio

logger = logging.getLogger(__name__)

PATHS = ("/ws", "/websocket", socketio.PATH)
SHOWN_HEADERS = ("X-User-Id", "X-Request-Id", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host")
MAX_MESSAGE_BYTES = 1 << 20


class StudioService:
    """One instance, by name. `failing` is None, `refuse` or `hang`."""

    def __init__(self, instance: str) -> None:
        self.instance = instance
        self.failing: str | None = None
        self.open: set[ServerConnection] = set()

    @asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[Server]:
        """Serve until the context ends; then every socket is closed with 1001."""
        async with serve(
            self.serve_socket,
            host,
            port,
            process_request=self.answer_handshake,
            compression=None,
            max_size=MAX_MESSAGE_BYTES,
            close_timeout=2,
            server_header=None,
        ) as server:
            yield server

    async def answer_handshake(self, connection: ServerConnection, request: Request) -> Response | None:
        path = _path(request)
        if self.failing == "hang":
            await connection.wait_closed()
        if self.failing == "refuse":
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "told to fail\n")
        if path == "/health":
            return connection.respond(HTTPStatus.OK, f"{self.instance}: {len(self.open)} sockets\n")
        return None if path in PATHS else connection.respond(HTTPStatus.NOT_FOUND, "no such path\n")

    async def serve_socket(self, connection: ServerConnection) -> None:
        self.open.add(connection)
        assert connection.request is not None  # noqa: S101  it was accepted
        converse = socketio.speak if _path(connection.request) == socketio.PATH else self._converse
        try:
            await converse(connection)
        except ConnectionClosed:
            pass
        finally:
            self.open.discard(connection)

    async def _converse(self, connection: ServerConnection) -> None:
        async for message in connection:
            answer = await self._answer(connection, message)
            if answer is not None:
                await connection.send(json.dumps(answer))

    async def _answer(self, connection: ServerConnection, message: str | bytes) -> dict[str, Any] | None:
        try:
            request = json.loads(message)
        except ValueError:
            return {"type": "error", "code": "invalid_json", "message": "Send JSON."}
        kind = request.get("type") if isinstance(request, dict) else None
        if kind == "heartbeat":
            return {"type": "ack"}
        if kind == "whoami":
            return self._whoami(connection)
        if kind == "fail":
            return await self._fail(connection, request.get("how"))
        return {"type": "echo", "instance": self.instance, "message": request}

    def _whoami(self, connection: ServerConnection) -> dict[str, Any]:
        request = connection.request
        assert request is not None  # noqa: S101  it was accepted
        parts = urlsplit(request.path)
        shown = {name: request.headers.get_all(name) for name in SHOWN_HEADERS}
        headers = {name.lower(): ", ".join(values) for name, values in shown.items() if values}
        return {
            "type": "whoami",
            "instance": self.instance,
            "path": parts.path,
            "query": parse_qsl(parts.query),
            "headers": headers,
        }

    async def _fail(self, connection: ServerConnection, how: object) -> dict[str, Any] | None:
        logger.warning("told to fail", extra={"instance": self.instance, "how": str(how)[:32]})
        if how == "close":
            await connection.close(1011, "told to fail")
            return None
        if how == "abort":
            connection.transport.abort()
            return None
        self.failing = str(how) if how in {"refuse", "hang"} else None
        return {"type": "ack"}


def _path(request: Request) -> str:
    return urlsplit(request.path).path


async def run_service(service: StudioService, *, host: str, port: int, stop: asyncio.Event) -> None:
    """Listen until `stop` is set, then close every socket with 1001."""
    async with service.listening(host, port) as server:
        addresses = ["{}:{}".format(*listening.getsockname()[:2]) for listening in server.sockets]
        logger.info("listening", extra={"instance": service.instance, "addresses": addresses})
        await stop.wait()
    logger.info("stopped")
