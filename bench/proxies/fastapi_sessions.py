"""The session relay that a careful team would write: FastAPI and redis.asyncio, on uvicorn and uvloop.

A Pub/Sub connection a client, as redis-py's examples have it; no bounds, no grace, no record.
"""

from __future__ import annotations

import asyncio
import hmac
import os

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

app = FastAPI()
redis = Redis.from_url(os.environ["REDIS_URL"], max_connections=20_000)


async def pump_up(client: WebSocket, channel: str) -> None:
    while True:
        await redis.publish(channel, await client.receive_text())


async def pump_down(client: WebSocket, down: PubSub) -> None:
    async for message in down.listen():
        await client.send_text(message["data"].decode())


@app.websocket("/{agent_id}/ws/{session_id}")
async def relay(client: WebSocket, agent_id: str, session_id: str) -> None:
    key = f"session:{session_id}:auth"
    token, stored = client.query_params.get("token", ""), await redis.get(key)
    if not stored or not hmac.compare_digest(stored, token.encode()) or not await redis.delete(key):
        await client.close()
        return
    async with redis.pubsub(ignore_subscribe_messages=True) as down:
        await down.subscribe(f"session:{session_id}:down")
        await client.accept()
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(pump_up(client, f"session:{session_id}:up"))
                pumps.create_task(pump_down(client, down))
        except* WebSocketDisconnect:
            pass
