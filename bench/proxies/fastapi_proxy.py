"""The comparator that a careful team would write: FastAPI and the `websockets` client, on uvicorn and uvloop.

No compression on either leg, no proxy from the environment, no queue between the legs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

UPSTREAM_URL = os.environ["UPSTREAM_URL"]
MAX_MESSAGE_BYTES = 1 << 20

app = FastAPI()


async def pump_up(client: WebSocket, upstream: ClientConnection) -> None:
    while True:
        event = await client.receive()
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(event.get("code", 1005))
        text = event.get("text")
        await upstream.send(event["bytes"] if text is None else text)


async def pump_down(client: WebSocket, upstream: ClientConnection) -> None:
    while True:
        message = await upstream.recv()
        if isinstance(message, str):
            await client.send_text(message)
        else:
            await client.send_bytes(message)


@app.websocket("/ws/experience")
async def proxy(client: WebSocket) -> None:
    url = f"{UPSTREAM_URL}{client.url.path}?{client.url.query}"
    async with connect(url, compression=None, proxy=None, max_size=MAX_MESSAGE_BYTES) as upstream:
        await client.accept()
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(pump_up(client, upstream))
                pumps.create_task(pump_down(client, upstream))
        except* (WebSocketDisconnect, ConnectionClosed):
            with contextlib.suppress(RuntimeError):  # the client was first to close
                await client.close(upstream.close_code or 1000)
