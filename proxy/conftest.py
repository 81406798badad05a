"""Databases for the tests of what is written, SQLite and a real PostgreSQL; and the `world` of handshakes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connections
from psycopg.sql import SQL, Identifier
from pytest_django import DjangoDbBlocker

from config.testing.migrated import copied_to
from config.testing.servers import PostgresServer
from proxy.tables.database_settings import database
from proxy.tables.executor import DatabaseExecutor
from proxy.tests.world import redis, world  # noqa: F401  fixtures

WRITTEN = (
    *(
        "proxy_connection",
        "proxy_refusal",
        "proxy_linkevent",
        "proxy_staffnote",
        "proxy_node",
        "proxy_block",
        "proxy_poolmember",
        "proxy_memberreport",
        "proxy_kick",
        "proxy_kickreport",
        "proxy_waitingevent",
        "proxy_outgoingevent",
        "proxy_turn",
        "proxy_minute",
        "proxy_apikey",
        "proxy_programdeed",
    ),
    *("django_admin_log", "django_session", "auth_user", "auth_group", "axes_accessattempt"),
)


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a PostgreSQL database with every table; migrated by a process whose waits nobody bounds."""
    postgres_server.ensure_running()
    url = postgres_server.create_database()
    assert copied_to(url, settings="config.settings")
    yield url
    postgres_server.ensure_running()
    postgres_server.drop_database(url)


@pytest.fixture
def postgres_database(
    migrated_postgres: str, postgres: PostgresServer, django_db_blocker: DjangoDbBlocker
) -> Iterator[PostgresServer]:
    """Django's database is PostgreSQL for the test, in every thread. Its server may be killed."""
    with django_db_blocker.unblock(), default_database(migrated_postgres):
        yield postgres
        postgres.ensure_running()
        connections["default"].close()
    # Not as Django's: a call of the test's that still waits for its answer may hold a lock for seconds.
    with psycopg.connect(migrated_postgres, autocommit=True, options="-c lock_timeout=30s") as connection:
        connection.execute(SQL("TRUNCATE {} CASCADE").format(SQL(", ").join(map(Identifier, WRITTEN))))


@pytest.fixture(params=["sqlite", "postgresql"])
def any_database(request: pytest.FixtureRequest, transactional_db: None) -> None:
    """The test runs twice: on SQLite and on PostgreSQL. What it writes is committed."""
    if request.param == "postgresql":
        request.getfixturevalue("postgres_database")


@pytest.fixture
async def executor() -> AsyncIterator[DatabaseExecutor]:
    """Runs what a test asks of the database; the test names the database."""
    executor = DatabaseExecutor()
    yield executor
    await executor.close()


@contextmanager
def migrated_database(url: str, blocker: DjangoDbBlocker) -> Iterator[str]:
    """`default_database`, with every table, and for tests that do not say that they use one."""
    assert copied_to(url, settings="config.settings")
    with blocker.unblock(), default_database(url):
        yield url


@contextmanager
def default_database(url: str) -> Iterator[None]:
    """Make `url` what code that knows nothing of it finds as the default database."""
    kept_connection, kept_settings = connections["default"], connections.settings["default"]
    settings = database(url, sqlite_path=Path(), most_connections=10)
    connections.settings["default"] = connections.configure_settings({"default": settings})["default"]
    del connections["default"]
    ContentType.objects.clear_cache()
    try:
        yield
    finally:
        connections["default"].close()
        if connections["default"].vendor == "postgresql":
            connections["default"].close_pool()  # type: ignore[attr-defined]
        connections.settings["default"] = kept_settings
        connections["default"] = kept_connection
        ContentType.objects.clear_cache()
