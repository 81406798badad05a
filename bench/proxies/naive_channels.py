"""The comparator that most teams have: a Channels consumer that proxies, written the obvious way.

Run by stock Daphne as `bench.proxies.naive_channels:application`.
"""

from __future__ import annotations

import asyncio
import os

import django
import websockets
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

settings.configure(
    SECRET_KEY="bench",
    INSTALLED_APPS=["daphne", "channels"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
)
django.setup()

UPSTREAM_URL = os.environ["UPSTREAM_URL"]


class ProxyConsumer(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        url = f"{UPSTREAM_URL}{self.scope['path']}?{self.scope['query_string'].decode()}"
        self.upstream = await websockets.connect(url)
        await self.accept()
        self.forwarding = asyncio.create_task(self.forward())

    async def forward(self) -> None:
        async for message in self.upstream:
            if isinstance(message, str):
                await self.send(text_data=message)
            else:
                await self.send(bytes_data=message)
        await self.close()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.upstream.send(text_data if text_data is not None else bytes_data)

    async def disconnect(self, code: int) -> None:
        self.forwarding.cancel()
        await self.upstream.close()


application = ProxyConsumer.as_asgi()
