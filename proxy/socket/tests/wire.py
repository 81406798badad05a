"""What a client on a bare socket reads and writes, frame by frame."""

from __future__ import annotations

import asyncio
from typing import Any

from websockets.frames import Frame, Opcode


async def read(client: Any, heard: bytes = b"") -> tuple[int, bytes, bytes]:
    """The next frame's first byte and payload (of up to 125 bytes), and what came behind it."""
    loop = asyncio.get_running_loop()
    while len(heard) < 2 or len(heard) < 2 + heard[1]:
        heard += await loop.sock_recv(client, 65536)
    end = 2 + heard[1]
    return heard[0], heard[2:end], heard[end:]


async def accepted(client: Any) -> bytes:
    """What follows the 101."""
    loop, heard = asyncio.get_running_loop(), b""
    while b"\r\n\r\n" not in heard:
        heard += await loop.sock_recv(client, 65536)
    assert b" 101 " in heard[:16]
    return heard.partition(b"\r\n\r\n")[2]


def frame(opcode: Opcode, payload: bytes) -> bytes:
    return Frame(opcode, payload).serialize(mask=True)
