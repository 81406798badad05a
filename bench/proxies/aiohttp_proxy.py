"""The comparator in aiohttp, server and client, on uvloop: `python -m bench.proxies.aiohttp_proxy PORT`."""

from __future__ import annotations

import asyncio
import os
import sys

import uvloop
from aiohttp import ClientSession, ClientWebSocketResponse, TCPConnector, WSMsgType, web

UPSTREAM_URL = os.environ["UPSTREAM_URL"]
MAX_MESSAGE_BYTES = 1 << 20
SESSION: web.AppKey[ClientSession] = web.AppKey("session", ClientSession)

Leg = web.WebSocketResponse | ClientWebSocketResponse


async def pump(source: Leg, sink: Leg) -> None:
    async for message in source:
        if message.type is WSMsgType.TEXT:
            await sink.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await sink.send_bytes(message.data)
    await sink.close(code=source.close_code or 1000)


async def proxy(request: web.Request) -> web.WebSocketResponse:
    client = web.WebSocketResponse(compress=False, max_msg_size=MAX_MESSAGE_BYTES)
    url = f"{UPSTREAM_URL}{request.raw_path}"
    async with request.app[SESSION].ws_connect(url, max_msg_size=MAX_MESSAGE_BYTES) as upstream:
        await client.prepare(request)
        async with asyncio.TaskGroup() as pumps:
            pumps.create_task(pump(client, upstream))
            pumps.create_task(pump(upstream, client))
    return client


async def application() -> web.Application:
    app = web.Application()
    app[SESSION] = ClientSession(connector=TCPConnector(limit=0))
    app.router.add_get("/ws/experience", proxy)
    return app


if __name__ == "__main__":
    uvloop.install()
    web.run_app(
        application(),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        backlog=4096,
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )
