"""A gateway of each kind, started once, whose upstream each test writes for itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from config.testing.gateway import Gateway
from config.testing.publisher import Publisher
from config.testing.servers import ValkeyServer

KINDS = ("daphne", "serve")


@pytest.fixture(scope="session", params=KINDS)
def gateway_process(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, valkey_server: ValkeyServer
) -> Iterator[Gateway]:
    gateway = Gateway(request.param, tmp_path_factory.mktemp("gateway"), {"REDIS_URL": valkey_server.url})
    gateway.migrate()
    gateway.start()
    yield gateway
    try:
        gateway.stop()
    finally:
        gateway.close()


@pytest.fixture
def gateway(gateway_process: Gateway, valkey_server: ValkeyServer) -> Gateway:
    """The running gateway; what a test leaves in the record stays there, so look for your own ids."""
    valkey_server.ensure_running()
    if not gateway_process.program.running:
        gateway_process.start()
    return gateway_process


@pytest.fixture
async def publisher(valkey: ValkeyServer) -> AsyncIterator[Publisher]:
    publisher = Publisher(valkey.url)
    yield publisher
    await publisher.close()


@pytest.fixture
def nodes(tmp_path: Path, valkey: ValkeyServer, database_url: str) -> Iterator[tuple[Gateway, Gateway]]:
    """Two running nodes that share everything, the KB service's address included."""
    env = {"REDIS_URL": valkey.url, "DATABASE_URL": database_url, "HTTPS_ONLY": "false"}
    first = Gateway("serve", tmp_path, env)
    second = Gateway("serve", tmp_path, {**env, "KB_SERVICE_URL": first.env["KB_SERVICE_URL"]})
    first.migrate()
    for node in (first, second):
        node.start()
    yield first, second
    for node in (first, second):
        node.close()
