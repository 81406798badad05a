from __future__ import annotations

import asyncio
from contextlib import suppress

from config.testing.forwarder import Forwarder


async def test_whoever_comes_back_as_it_ends_is_let_go_too() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read()
        writer.close()

    async def come_back() -> None:
        with suppress(ConnectionRefusedError):
            while True:
                reader, writer = await asyncio.open_connection("127.0.0.1", forwarder.port)
                with suppress(ConnectionError):
                    await reader.read()
                writer.close()

    async with asyncio.timeout(20), await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        forwarder = Forwarder(server.sockets[0].getsockname()[1])
        async with forwarder.open():
            clients = [asyncio.create_task(come_back()) for _ in range(5)]
            while len(forwarder._writers) < 10:
                await asyncio.sleep(0)
        await asyncio.gather(*clients)
        assert not forwarder._carrying
        assert all(each.transport.is_closing() for each in forwarder._writers)
