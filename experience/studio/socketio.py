"""As much of Socket.IO (protocol 5, over Engine.IO 4) as the reference service needs: events, one namespace.

Every event comes back under its own name, after an acknowledgement with its arguments if one was asked for.
See https://socket.io/docs/v4/socket-io-protocol/.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Iterator
from typing import Any

from websockets.asyncio.server import ServerConnection

PATH = "/socket.io/"
PING_SECONDS, PONG_SECONDS = 25.0, 20.0
MAX_PAYLOAD_BYTES = 1 << 20
# Of Engine.IO, then, behind a message (4), of Socket.IO.
OPEN, CLOSE, PING, MESSAGE = "0", "1", "2", "4"
CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR = "0", "1", "2", "3", "4"
_EVENT = re.compile(r"42(\d*)(\[.*)", re.DOTALL)


async def speak(connection: ServerConnection) -> None:
    """Serve one client until it leaves. Raises ConnectionClosed when it does without a word."""
    await connection.send(OPEN + _json(_opening()))
    pinging = asyncio.create_task(_ping_forever(connection), name="socketio:ping")
    try:
        async for packet in connection:
            if packet in {CLOSE, MESSAGE + DISCONNECT}:
                return
            for answer in answers_to(str(packet)):
                await connection.send(answer)
    finally:
        pinging.cancel()


def answers_to(packet: str) -> Iterator[str]:
    """What a client's packet is answered with; nothing, for pongs and what is no packet of ours."""
    if packet.startswith(MESSAGE + CONNECT + "/"):
        namespace = packet[2:].partition(",")[0]
        yield f"{MESSAGE}{CONNECT_ERROR}{namespace},{_json({'message': 'Invalid namespace'})}"
    elif packet.startswith(MESSAGE + CONNECT):
        yield MESSAGE + CONNECT + _json({"sid": secrets.token_hex(10)})
    elif event := _EVENT.fullmatch(packet):
        yield from _answers_to_event(ack=event[1], text=event[2])


def _answers_to_event(*, ack: str, text: str) -> Iterator[str]:
    try:
        words: list[Any] = json.loads(text)
    except ValueError:
        return
    if ack:
        yield MESSAGE + ACK + ack + _json(words[1:])
    yield MESSAGE + EVENT + _json(words)


def _opening() -> dict[str, Any]:
    return {
        "sid": secrets.token_hex(10),
        "upgrades": [],
        "pingInterval": int(PING_SECONDS * 1000),
        "pingTimeout": int(PONG_SECONDS * 1000),
        "maxPayload": MAX_PAYLOAD_BYTES,
    }


async def _ping_forever(connection: ServerConnection) -> None:
    while True:
        await asyncio.sleep(PING_SECONDS)
        await connection.send(PING)


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
