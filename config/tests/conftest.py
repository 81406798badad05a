"""Gateways with settings of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.testing.gateway import Gateway

MakeGateway = Callable[..., Gateway]


@pytest.fixture
def make_gateway(tmp_path: Path) -> Iterator[MakeGateway]:
    """`make_gateway(NAME=value…)`: a started gateway with its own database, without Redis."""
    made: list[Gateway] = []

    def make(kind: str = "serve", **env: str) -> Gateway:
        gateway = Gateway(kind, tmp_path, env)
        made.append(gateway)
        gateway.migrate()
        gateway.start()
        return gateway

    yield make
    for gateway in made:
        gateway.close()
