"""A gateway of each kind, started once, whose upstream each test writes for itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from config.testing.gateway import Gateway
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
