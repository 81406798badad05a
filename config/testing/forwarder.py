"""A TCP forwarder that can freeze, as a network does when a failover goes unnoticed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Forwarder:
    """Carries bytes between clients and a port of 127.0.0.1, until it is told to freeze."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self._target_port = target_port
        self._flows: list[asyncio.Event] = [_set_event()]
        self._writers: list[asyncio.StreamWriter] = []
        self._carrying: set[asyncio.Task[None]] = set()
        self._is_over = False

    def freeze(self) -> None:
        """Carry nothing more for who is connected now: no byte, no end, no reset. New clients find a way."""
        self._flows[-1].clear()
        self._flows.append(_set_event())

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Forwarder]:
        """Listen on a port of its own; `port` is its number. All of its sockets end with it."""
        async with await asyncio.start_server(self._accept, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            try:
                yield self
            finally:
                self._is_over = True  # whoever is cut off comes back at once
                for writer in self._writers:
                    writer.transport.abort()
                for flow in self._flows:
                    flow.set()
                if self._carrying:
                    await asyncio.wait(self._carrying, timeout=5)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_over:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._carry(reader, writer), name="forward")
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        flow = self._flows[-1]
        self._writers.append(writer)
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers.append(there_writer)
        if self._is_over:
            there_writer.transport.abort()
        await asyncio.gather(_pump(reader, there_writer, flow), _pump(there_reader, writer, flow))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flow: asyncio.Event) -> None:
    with suppress(ConnectionError):
        while chunk := await reader.read(65536):
            await flow.wait()
            writer.write(chunk)
            await writer.drain()
    await flow.wait()
    writer.close()


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event
