"""A gateway of each kind, started once, whose upstream each test writes for itself."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from config.testing.gateway import Gateway
from config.testing.publisher import Publisher
from config.testing.servers import ValkeyServer

KINDS = ("daphne", "serve")


@pytest.fixture(scope="session")
def running(
    tmp_path_factory: pytest.TempPathFactory, valkey_server: ValkeyServer
) -> Iterator[Callable[[str], Gateway]]:
    """`running(kind)`: the gateway of that kind, which runs from then on.

    Not a parametrized fixture of the session: pytest has one value of such a fixture at a time, and would end
    one gateway to start the other at each change: twice a file where processes share the files of a run.
    """
    made: dict[str, Gateway] = {}

    def of(kind: str) -> Gateway:
        if kind not in made:
            # This process plays the service, and may be kept waiting for two; stock Daphne gives up after 5.
            env = {"REDIS_URL": valkey_server.url, "DIAL_TIMEOUT_SECONDS": "4"}
            made[kind] = Gateway(kind, tmp_path_factory.mktemp("gateway"), env)
            made[kind].migrate()
            ends.callback(made[kind].close)
            ends.callback(made[kind].stop)
        if not made[kind].program.running:
            made[kind].start()
        return made[kind]

    with contextlib.ExitStack() as ends:
        yield of


@pytest.fixture(params=KINDS)
def gateway(
    request: pytest.FixtureRequest, running: Callable[[str], Gateway], valkey_server: ValkeyServer
) -> Gateway:
    """The running gateway; what a test leaves in the record stays there, so look for your own ids."""
    valkey_server.ensure_running()
    return running(request.param)


@pytest.fixture
async def publisher(valkey: ValkeyServer) -> AsyncIterator[Publisher]:
    publisher = Publisher(valkey.url)
    yield publisher
    await publisher.close()


@pytest.fixture
def nodes(tmp_path: Path, valkey: ValkeyServer, database_url: str) -> Iterator[tuple[Gateway, Gateway]]:
    """Two running nodes that share everything, the KB service's address included."""
    # A test plays its service beside two hundred clients: a dial may take longer than two seconds then.
    own = {"HTTPS_ONLY": "false", "DIAL_TIMEOUT_SECONDS": "10"}
    env = {"REDIS_URL": valkey.url, "DATABASE_URL": database_url, **own}
    first = Gateway("serve", tmp_path, env)
    second = Gateway("serve", tmp_path, {**env, "KB_SERVICE_URL": first.env["KB_SERVICE_URL"]})
    first.migrate()
    for node in (first, second):
        node.start()
    yield first, second
    for node in (first, second):
        node.close()
