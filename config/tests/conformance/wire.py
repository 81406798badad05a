"""A client that is a bare socket: it sends the bytes it is given, and reads frames as they come."""

from __future__ import annotations

import asyncio
import os
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from proxy.core.wire.headers import xor_mask

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN, RSV1 = 0x80, 0x40
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HEAD_BYTES = 1 << 16


def frame(opcode: int, payload: bytes | str = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """A masked frame. `rsv` is the three reserved bits as a number from 0 to 7."""
    payload = payload.encode() if isinstance(payload, str) else payload
    size = len(payload)
    first = (FIN if fin else 0) | rsv << 4 | opcode
    if size < 126:
        head = bytes([first, 0x80 | size])
    elif size < 1 << 16:
        head = bytes([first, 0x80 | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([first, 0x80 | 127]) + size.to_bytes(8, "big")
    mask = os.urandom(4)
    return head + mask + xor_mask(payload, mask)


def close_frame(code: int | None = 1000, reason: bytes | str = b"") -> bytes:
    reason = reason.encode() if isinstance(reason, str) else reason
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)


def message(opcode: int, *fragments: bytes | str) -> list[bytes]:
    """The frames of one message in so many fragments."""
    last = len(fragments) - 1
    return [
        frame(opcode if at == 0 else CONT, fragment, fin=at == last) for at, fragment in enumerate(fragments)
    ]


@dataclass(frozen=True, slots=True)
class Heard:
    """A whole message (its opcode the first frame's), a ping or a pong."""

    opcode: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class End:
    """The server's close: its code, 1005 for an empty one, None when the connection ended without."""

    code: int | None
    reason: str = ""


class Wire:
    """An open socket. `extensions` is the server's answer to the offer, "" if it declined."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, extensions: str) -> None:
        self._reader, self._writer, self.extensions = reader, writer, extensions
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS) if extensions else None

    async def send(self, data: bytes) -> None:
        """Write, as far as the server still reads."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError:
            pass  # it has failed the connection already; what it said is still to be read

    async def hear(self) -> Heard | End:
        """The next message, ping, pong, or the end."""
        opcode, parts, compressed = CONT, list[bytes](), False
        while True:
            try:
                first, payload = await self._frame()
            except (asyncio.IncompleteReadError, ConnectionError):
                return End(None)
            if first & 0x0F == CLOSE:
                return _end(payload)
            if first & 0x08:
                return Heard(first & 0x0F, payload)
            if first & 0x0F != CONT:
                opcode, compressed = first & 0x0F, bool(first & RSV1)
            parts.append(payload)
            if first & FIN:
                return Heard(opcode, self._plain(b"".join(parts), compressed=compressed))

    async def eof(self) -> bool:
        """Whether the server closes TCP now, without another byte."""
        try:
            return await self._reader.read(1) == b""
        except ConnectionError:
            return True

    def end_output(self) -> None:
        self._writer.close()

    async def _frame(self) -> tuple[int, bytes]:
        first, size = await self._reader.readexactly(2)
        assert not size & 0x80, "a server must not mask"
        assert not first & 0x30, "reserved bits"
        assert not first & RSV1 or self._inflate is not None, "compressed, and nothing was agreed on"
        if size >= 126:
            size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8), "big")
        return first, await self._reader.readexactly(size)

    def _plain(self, payload: bytes, *, compressed: bool) -> bytes:
        if not compressed:
            return payload
        assert self._inflate is not None
        return self._inflate.decompress(payload + b"\x00\x00\xff\xff")


def _end(payload: bytes) -> End:
    if not payload:
        return End(1005)
    assert len(payload) > 1, "a close of one byte"
    return End(int.from_bytes(payload[:2], "big"), payload[2:].decode())


@asynccontextmanager
async def opened(url: str, *, offer: str = "") -> AsyncIterator[Wire]:
    """A socket that has been accepted; `offer` is its Sec-WebSocket-Extensions."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=1 << 22)
    try:
        lines = [
            f"GET {parts.path}?{parts.query} HTTP/1.1",
            f"Host: {parts.netloc}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {KEY}",
            "Sec-WebSocket-Version: 13",
            *([f"Sec-WebSocket-Extensions: {offer}"] if offer else []),
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert head.startswith("HTTP/1.1 101 "), head
        yield Wire(reader, writer, _header(head, "sec-websocket-extensions"))
    finally:
        writer.transport.abort()


def _header(head: str, name: str) -> str:
    values = (line.partition(":")[2].strip() for line in head.split("\r\n") if line.lower().startswith(name))
    return ", ".join(values)
