"""A service that sends back what it gets, in a process to be killed: `python -m config.testing.echo PORT`."""

from __future__ import annotations

import asyncio
import sys

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed


async def main(port: int) -> None:
    async with serve(_echo, "127.0.0.1", port, compression=None, ping_interval=None) as server:
        await server.serve_forever()


async def _echo(connection: ServerConnection) -> None:
    try:
        async for message in connection:
            await connection.send(message)
    except ConnectionClosed:
        pass


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
