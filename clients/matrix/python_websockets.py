"""Python's `websockets` as it comes (it offers compression), or with `--plain` without it."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from contract import Refused, decoded, encoded, play, say, say_message
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

OPTIONS: dict[str, Any] = {"compression": None} if "--plain" in sys.argv else {}


async def listen(socket: ClientConnection) -> None:
    try:
        while True:
            say_message(await socket.recv())
    except ConnectionClosed:
        say("closed", socket.close_code, encoded(socket.close_reason or ""))


async def perform(socket: ClientConnection, word: str, fields: list[str]) -> None:
    if word == "text":
        await socket.send(decoded(fields[0]).decode())
    elif word == "binary":
        await socket.send(decoded(fields[0]))
    elif word == "fragments":
        await socket.send([decoded(field).decode() for field in fields])
    elif word == "close":
        await socket.close(int(fields[0]), decoded(fields[1]).decode())


async def open_socket(url: str) -> ClientConnection:
    try:
        return await connect(url, **OPTIONS)
    except InvalidStatus as refusal:
        raise Refused(refusal.response.status_code) from None


asyncio.run(play(open_socket, listen, perform))
