"""A TLS endpoint: its WebSockets stay with stock Daphne, and still work."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from websockets.asyncio.client import connect

from config.testing.program import free_port
from proxy.server.tests.conftest import serving


async def test_a_tls_endpoint_serves_websockets_and_drains(certificate: Path) -> None:
    port = free_port()
    endpoint = f"ssl:{port}:interface=127.0.0.1:privateKey={certificate}:certKey={certificate}"
    context = ssl.create_default_context(cafile=certificate)
    with serving(endpoints=[endpoint], drain_seconds=0.1) as server:
        await server.ask("ready")  # both listen before the first request is served
        url = f"wss://127.0.0.1:{port}/echo"
        async with asyncio.timeout(30), connect(url, ssl=context, proxy=None) as client:
            await client.send("through TLS")
            assert await client.recv() == "through TLS"
            server.terminate()
            await client.wait_closed()
        assert server.wait(10) == 0
