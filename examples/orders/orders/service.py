"""The service behind the route: it takes orders. Of the gateway it knows one header, and nothing else."""

import argparse
import asyncio
import itertools
import json
from contextlib import suppress
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError
from websockets.http11 import Request, Response

numbers = itertools.count(1)


def health(connection: ServerConnection, request: Request) -> Response | None:
    """What the probe of the route asks for; everything else is a handshake."""
    return connection.respond(HTTPStatus.OK, "well\n") if request.path == "/health" else None


async def take_orders(connection: ServerConnection) -> None:
    if (request := connection.request) is None:
        return
    shop = request.path.split("?")[0].removeprefix("/shops/")
    with suppress(ConnectionClosedError):  # the gateway closes with the client's code
        async for message in connection:
            order = json.loads(message)
            taken = {"type": "order.taken", "number": next(numbers), "item": order["item"], "shop": shop}
            await connection.send(json.dumps({**taken, "by": request.headers["X-User-Id"]}))


async def main(port: int) -> None:
    async with serve(take_orders, "127.0.0.1", port, process_request=health) as server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=9000)
    asyncio.run(main(parser.parse_args().port))
