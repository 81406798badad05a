"""What stands behind the gateways of the matrix: python -m config.tests.clients.echo FD

It sends every message back as it is, compressed where the other side takes it, and does what it is asked in a
text: `please send 70000` (so many characters), `please send fragments`, `please close 4321 room closed`.
`GET /health` answers 200.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from http import HTTPStatus
from urllib.parse import urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response


async def answer(connection: ServerConnection, message: str | bytes) -> None:
    words = message.split(" ") if isinstance(message, str) else []
    match words:
        case ["please", "send", "fragments"]:
            await connection.send(_fragments())
        case ["please", "send", size]:
            await connection.send("x" * int(size))
        case ["please", "close", code, *reason]:
            await connection.close(int(code), " ".join(reason))
        case _:
            await connection.send(message)


async def _fragments() -> AsyncIterator[str]:
    """Each is written on its own, so that they can arrive apart."""
    for fragment in ("frag", "", "ments", "é"):
        await asyncio.sleep(0)
        yield fragment


async def echo(connection: ServerConnection) -> None:
    with suppress(ConnectionClosed):
        async for message in connection:
            await answer(connection, message)


async def answer_health(connection: ServerConnection, request: Request) -> Response | None:
    is_asked = urlsplit(request.path).path == "/health"
    return connection.respond(HTTPStatus.OK, "ok\n") if is_asked else None


async def main(fd: int) -> None:
    async with serve(echo, sock=socket.socket(fileno=fd), process_request=answer_health) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
