"""Gateways under test get their tables from a copy."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from config.testing import migrated
from config.testing.program import FIRST_PORT, MOST_WORKERS, PORTS_OF_A_WORKER, free_port

SETTINGS = "config.settings"


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("database_url"))
    return f"{migrated.SQLITE}{tmp_path / 'new.sqlite3'}"


def migrations(url: str) -> int:
    query = "SELECT count(*) FROM django_migrations WHERE app = 'proxy'"
    if url.startswith(migrated.SQLITE):
        with closing(sqlite3.connect(url.removeprefix(migrated.SQLITE))) as database:
            return int(database.execute(query).fetchone()[0])
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def test_a_new_database_gets_every_table_and_one_with_tables_is_left_alone(new_database: str) -> None:
    assert migrated.copied_to(new_database, settings=SETTINGS)
    assert migrations(new_database) > 0
    assert not migrated.copied_to(new_database, settings=SETTINGS)


def test_no_port_is_given_twice_and_all_are_of_one_process_of_the_run() -> None:
    ports = {free_port() for _ in range(500)}

    assert len(ports) == 500
    assert len({(port - FIRST_PORT) // PORTS_OF_A_WORKER for port in ports}) == 1
    assert all(FIRST_PORT <= port < FIRST_PORT + MOST_WORKERS * PORTS_OF_A_WORKER for port in ports)
