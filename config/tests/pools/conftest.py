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


@pytest.fixture
def studios(tmp_path: Path) -> Iterator[list[StudioInstance]]:
    instances = [StudioInstance(f"studio-{number}", tmp_path) for number in range(1, INSTANCES + 1)]
    try:
        for instance in instances:
            instance.program.start()
        for instance in instances:
            instance.program.wait_for_port(instance.port)
        yield instances
    finally:
        for instance in instances:
            instance.program.kill()


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
