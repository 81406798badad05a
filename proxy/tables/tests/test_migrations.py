"""A database of any earlier state of the tables comes to today's."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from config.testing import starts

pytestmark = pytest.mark.long

EARLIER = ["0001_initial", "0002_connection_listing", "0003_blocks_and_members", "0004_messages_dropped"]
AS_IT_WAS = """
import django
django.setup()
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
executor = MigrationExecutor(connection)
executor.loader.replace_migrations = False
executor.loader.build_graph()
executor.migrate([("proxy", "{leaf}")])
"""


def run(database: Path | str, *words: str) -> None:
    """`database`: a file of SQLite, or a URL."""
    env = {
        "SECRET_KEY": "a secret key that is used in tests only, and nowhere else",
        "DATABASE_URL": database if isinstance(database, str) else f"sqlite:///{database}",
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }
    starts.run([sys.executable, *words], env=env, check=True, timeout=50)


def columns_and_indexes(database: Path) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    with closing(sqlite3.connect(database)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            if table.startswith("proxy_"):
                for kind in ("table_info", "index_list"):
                    rows = connection.execute(f"PRAGMA {kind}({table})")
                    found.update(
                        (f"{kind} {table}", str(row[1])) for row in rows if "autoindex" not in row[1]
                    )
    return found


@pytest.mark.parametrize("leaf", EARLIER)
def test_a_database_of_an_earlier_state_has_todays_tables_after_migrate(leaf: str, tmp_path: Path) -> None:
    old, new = tmp_path / "old.sqlite3", tmp_path / "new.sqlite3"
    run(old, "-c", AS_IT_WAS.format(leaf=leaf))
    run(old, "manage.py", "migrate", "-v0")
    run(new, "manage.py", "migrate", "-v0")
    assert columns_and_indexes(old) == columns_and_indexes(new)
    assert ("table_info proxy_kick", "reason") in columns_and_indexes(old)


def test_one_app_may_be_migrated_before_the_others_and_no_permission_is_missing_in_the_end(
    tmp_path: Path,
) -> None:
    database = tmp_path / "new.sqlite3"
    run(database, "manage.py", "migrate", "experience", "-v0")
    run(database, "manage.py", "migrate", "-v0")
    with closing(sqlite3.connect(database)) as connection:
        query = "SELECT count(*) FROM auth_permission WHERE codename = 'publish_user_by_token'"
        assert connection.execute(query).fetchall() == [(1,)]


def test_so_it_is_on_postgresql_which_cuts_no_name_of_a_permission(database_url: str) -> None:
    run(database_url, "manage.py", "migrate", "proxy", "-v0")
    run(database_url, "manage.py", "migrate", "-v0")
    with psycopg.connect(database_url) as connection:
        query = "SELECT count(*) FROM auth_permission WHERE codename = 'publish_experience_by_token'"
        assert connection.execute(query).fetchall() == [(1,)]


def test_indexes_that_a_migration_was_killed_over_are_made_anew(database_url: str) -> None:
    run(database_url, "manage.py", "migrate", "proxy", "0011", "-v0")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM django_migrations WHERE name = '0011_closed_connections'")
        connection.execute("DROP INDEX connection_closed_node")
        run(database_url, "manage.py", "migrate", "-v0")
        query = "SELECT count(*) FROM pg_indexes WHERE indexname ~ 'connection_closed_(topic|route|node)'"
        assert connection.execute(query).fetchall() == [(3,)]
