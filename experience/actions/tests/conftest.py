from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from django.conf import settings

from config.testing.gateway import Gateway
from config.testing.servers import ValkeyServer

StartGateway = Callable[..., AbstractAsyncContextManager[Gateway]]


@pytest.fixture
def gateway_before(tmp_path: Path, valkey: ValkeyServer) -> StartGateway:
    """`gateway_before(address, kind="serve", **env)`: a gateway whose KB is at that address."""

    @asynccontextmanager
    async def started(address: str, kind: str = "serve", **env: str) -> AsyncIterator[Gateway]:
        own: Mapping[str, str] = {
            "JWT_SIGNING_KEY": settings.JWT_SIGNING_KEY,
            "KB_SERVICE_URL": f"http://{address}",
            "REDIS_URL": valkey.url,
            **env,
        }
        with Gateway.running(kind, tmp_path, own) as gateway:
            yield gateway

    return started
