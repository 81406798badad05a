"""The chat's proxy that a careful team would write: as `fastapi_proxy.py`, with pydantic's models."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Annotated, Literal

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

UPSTREAM_URL = os.environ["UPSTREAM_URL"]
MAX_MESSAGE_BYTES = 64 << 10
Id = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]*$")]
Text = Annotated[
    str, StringConstraints(min_length=1, max_length=4000, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$")
]


class Said(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class MessageSend(Said):
    type: Literal["message.send"]
    conversation_id: Id
    text: Text
    idempotency_key: Id | None = None


class ReadSet(Said):
    type: Literal["read.set"]
    conversation_id: Id
    up_to_message_id: Id


class TypingSet(Said):
    type: Literal["typing.set"]
    conversation_id: Id
    state: Literal["on", "off"]


class Ping(Said):
    type: Literal["ping", "pong"]


class Stored(BaseModel):
    id: Id
    sender_id: Id
    text: Text
    created_at: int


class MessageCreated(BaseModel):
    type: Literal["message.created"]
    conversation_id: Id
    message: Stored
    idempotency_key: Id | None = None


class MessageRead(BaseModel):
    type: Literal["message.read"]
    conversation_id: Id
    user_id: Id
    up_to_message_id: Id
    read_at: int


class Typing(BaseModel):
    type: Literal["conversation.typing"]
    conversation_id: Id
    user_id: Id
    state: Literal["on", "off"]


class Other(BaseModel):
    type: Literal["conversation.blocked", "conversation.changed", "ping", "pong", "error"]


from_client = TypeAdapter(Annotated[MessageSend | ReadSet | TypingSet | Ping, Field(discriminator="type")])
from_service = TypeAdapter(
    Annotated[MessageCreated | MessageRead | Typing | Other, Field(discriminator="type")]
)
app = FastAPI()


async def pump_up(client: WebSocket, upstream: ClientConnection) -> None:
    while True:
        event = await client.receive()
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(event.get("code", 1005))
        text = event.get("text")
        if text is None:
            await upstream.send(event["bytes"])
            continue
        try:
            from_client.validate_json(text)
        except ValidationError as error:
            await client.send_json({"type": "error", "code": "validation_error", "message": str(error)})
        else:
            await upstream.send(text)


async def pump_down(client: WebSocket, upstream: ClientConnection) -> None:
    while True:
        message = await upstream.recv()
        if isinstance(message, bytes):
            await client.send_bytes(message)
            continue
        with contextlib.suppress(ValidationError):
            from_service.validate_json(message)
            await client.send_text(message)


@app.websocket("/v1/chat/ws")
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
