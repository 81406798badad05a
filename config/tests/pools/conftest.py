"""Three studio instances, two gateway nodes, one Valkey and one database, all of them real processes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.testing.gateway import Gateway
from config.testing.servers import ValkeyServer
from config.testing.studio import INSTANCES, StudioInstance

MakeNodes = Callable[..., list[Gateway]]


@pytest.fixture(scope="session")
def instances(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[StudioInstance]]:
    """Those of one test process."""
    directory = tmp_path_factory.mktemp("studios")
    made = [StudioInstance(f"studio-{number}", directory) for number in range(1, INSTANCES + 1)]
    yield made
    for instance in made:
        instance.program.kill()


@pytest.fixture
def studios(instances: list[StudioInstance]) -> list[StudioInstance]:
    """Three that are as new: one that a test killed, told to fail or left clients with is started again."""
    for instance in instances:
        if not instance.is_idle():
            instance.program.kill()
            instance.start()
    return instances


@pytest.fixture
def make_nodes(tmp_path: Path, valkey: ValkeyServer, studios: list[StudioInstance]) -> Iterator[MakeNodes]:
    """`make_nodes(2, NAME=value…)`: so many started gateway nodes on one Valkey and one database."""
    made: list[Gateway] = []

    def make(count: int = 2, *, kind: str = "serve", **env: str) -> list[Gateway]:
        shared = {
            "REDIS_URL": valkey.url,
            "STUDIO_WS_URLS": ",".join(instance.url for instance in studios),
            "STUDIO_PROBE_SECONDS": "1",
            "MESSAGE_RATE_PER_USER": "100000/s",
            "LOG_FORMAT": "console",
            **env,
        }
        nodes = [Gateway(kind, tmp_path, shared) for _ in range(count)]
        nodes[0].migrate()
        for node in nodes:
            made.append(node)
            node.start()
        return nodes

    yield make
    running = [node.program for node in made if node.program.running]
    for program in running:
        program.send_signal(signal.SIGTERM)
    try:
        for program in running:
            program.wait_for_exit()
    finally:
        for node in made:
            node.close()
