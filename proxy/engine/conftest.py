"""The Redis that a test kills and freezes, seen by another client."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from config.testing.servers import ValkeyServer


@pytest.fixture
async def redis(own_valkey: ValkeyServer) -> AsyncIterator[Redis]:
    async with Redis.from_url(own_valkey.url) as redis:
        yield redis
