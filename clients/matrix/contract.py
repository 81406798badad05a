"""The contract of the matrix's clients: what to do on stdin, what happened on stdout. In Python.

A line is a word and its fields, with one space before each; texts, bytes and reasons are in base64.

    open URL | text PAYLOAD | binary PAYLOAD | fragments PAYLOAD… | close CODE REASON
    opened | refused STATUS | text PAYLOAD | binary PAYLOAD | closed CODE REASON

One connection at a time. STATUS is empty where the client cannot see it. The end of stdin ends the program.
"""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

Socket = TypeVar("Socket")


class Refused(Exception):
    """The handshake was answered with a status: an int, or empty where the client cannot see it."""

    def __init__(self, status: int | str) -> None:
        super().__init__(status)
        self.status = status


async def play(
    open_socket: Callable[[str], Awaitable[Socket]],
    listen: Callable[[Socket], Coroutine[Any, Any, None]],
    perform: Callable[[Socket, str, list[str]], Awaitable[None]],
) -> None:
    """Do what stdin says until it ends: `perform` the steps on what was opened, `listen` to it meanwhile.

    `open_socket` is given the URL, and raises `Refused`.
    """
    async with asyncio.TaskGroup() as tasks:
        socket: Socket | None = None
        async for word, *fields in steps():
            if word != "open":
                if socket is not None:
                    await perform(socket, word, fields)
                continue
            try:
                socket = await open_socket(fields[0])
            except Refused as refusal:
                say("refused", refusal.status)
            else:
                say("opened")
                tasks.create_task(listen(socket), name="listen")


async def steps() -> AsyncIterator[list[str]]:
    """What to do, a list of word and fields each."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        yield line.rstrip("\n").split(" ")


def decoded(field: str) -> bytes:
    return base64.b64decode(field)


def encoded(payload: str | bytes) -> str:
    return base64.b64encode(payload.encode() if isinstance(payload, str) else payload).decode()


def say(word: str, *fields: object) -> None:
    sys.stdout.write(" ".join([word, *map(str, fields)]) + "\n")
    sys.stdout.flush()


def say_message(message: str | bytes) -> None:
    say("text" if isinstance(message, str) else "binary", encoded(message))
