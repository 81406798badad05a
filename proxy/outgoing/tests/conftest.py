"""Databases in which many threads write, and brokers that are real."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from config.testing.rabbitmq import RabbitMQServer, needs_rabbitmq
from config.testing.servers import JetStreamServer
from proxy.conftest import migrated_database
from proxy.outgoing.tests.brokers import BrokerUnderTest, Nats, Rabbit
from proxy.tables.executor import DatabaseExecutor


@pytest.fixture(params=["sqlite", "postgresql"])
def stored_in(
    request: pytest.FixtureRequest, tmp_path: Path, django_db_blocker: DjangoDbBlocker
) -> Iterator[str]:
    """The URL of Django's database for the test. SQLite is in a file, as anywhere but in tests."""
    if request.param == "postgresql":
        request.getfixturevalue("postgres_database")
        yield request.getfixturevalue("migrated_postgres")
        return
    with migrated_database(f"sqlite:///{tmp_path / 'gateway.sqlite3'}", django_db_blocker) as url:
        yield url


@pytest.fixture
async def database(stored_in: str) -> AsyncIterator[DatabaseExecutor]:
    """Where this process writes events, however slow the machine is."""
    executor = DatabaseExecutor(timeout_seconds=60)
    yield executor
    await executor.close()


@pytest.fixture(params=["nats", pytest.param("rabbitmq", marks=needs_rabbitmq)])
def broker_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
async def rabbit(rabbitmq: RabbitMQServer) -> AsyncIterator[Rabbit]:
    """An exchange with a queue that takes `chat.#`."""
    rabbit = Rabbit(rabbitmq)
    await rabbit.bind()
    yield rabbit
    rabbit.server.ensure_running()
    await rabbit.remove()


@pytest.fixture
async def broker(request: pytest.FixtureRequest, broker_kind: str) -> AsyncIterator[BrokerUnderTest]:
    """One that keeps what is published to `chat.>`."""
    if broker_kind == "nats":
        server: JetStreamServer = request.getfixturevalue("jetstream")
        yield Nats(server)
        return
    rabbit = Rabbit(request.getfixturevalue("rabbitmq"))
    await rabbit.bind()
    yield rabbit
    rabbit.server.ensure_running()
    await rabbit.remove()
