"""Python's `websockets` as it comes (it offers compression), or with `--plain` without it."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from contract import decoded, encoded, say, say_message, steps
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


async def main() -> None:
    async with asyncio.TaskGroup() as tasks:
        socket: ClientConnection | None = None
        async for word, *fields in steps():
            if word != "open":
                if socket is not None:
                    await perform(socket, word, fields)
                continue
            try:
                socket = await connect(fields[0], **OPTIONS)
            except InvalidStatus as refusal:
                say("refused", refusal.response.status_code)
            else:
                say("opened")
                tasks.create_task(listen(socket), name="listen")


asyncio.run(main())
