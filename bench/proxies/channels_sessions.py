"""The session relay that a Django team would write first: a Channels consumer and a group a session.

Run by stock Daphne as `bench.proxies.channels_sessions:application`. Its agents publish to the group.
"""

from __future__ import annotations

import hmac
import os
from urllib.parse import parse_qs

import django
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import URLRouter
from django.conf import settings
from django.urls import path
from redis.asyncio import Redis

settings.configure(
    SECRET_KEY="bench",
    INSTALLED_APPS=["daphne", "channels"],
    CHANNEL_LAYERS={
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [os.environ["REDIS_URL"]]},
        }
    },
)
django.setup()

redis = Redis.from_url(os.environ["REDIS_URL"])


class SessionConsumer(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        self.session_id = self.scope["url_route"]["kwargs"]["session_id"]
        key = f"session:{self.session_id}:auth"
        (token,) = parse_qs(self.scope["query_string"].decode())["token"]
        stored = await redis.get(key)
        if not stored or not hmac.compare_digest(stored, token.encode()) or not await redis.delete(key):
            await self.close()
            return
        await self.channel_layer.group_add(f"session.{self.session_id}", self.channel_name)
        await self.accept()

    async def session_message(self, event: dict[str, str]) -> None:
        await self.send(text_data=event["text"])

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await redis.publish(f"session:{self.session_id}:up", text_data or bytes_data)

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(f"session.{self.session_id}", self.channel_name)


application = URLRouter([path("<slug:agent_id>/ws/<slug:session_id>", SessionConsumer.as_asgi())])
