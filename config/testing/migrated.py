"""Databases with every table, copied from one that was migrated once a test process.

Migrating takes two seconds of a processor, a copy some milliseconds, and hundreds of tests want a gateway on
a database of its own. Migrations themselves are the matter of proxy/tables/tests/test_migrations.py.
"""

from __future__ import annotations

import functools
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg.sql import SQL, Identifier

from config.testing.starts import run

SQLITE = "sqlite:///"


def copied_to(url: str, *, settings: str) -> bool:
    """Give the database at `url` the tables that `settings` (a module) knows. False: it has some already."""
    if url.startswith(SQLITE):
        path = Path(url.removeprefix(SQLITE))
        if path.exists():
            return False
        path.write_bytes(_sqlite(settings))
        return True
    with psycopg.connect(url, connect_timeout=30) as connection:
        if connection.execute("SELECT 1 FROM pg_tables WHERE schemaname = 'public'").fetchone() is not None:
            return False
    server = urlunsplit(urlsplit(url)._replace(path="/postgres"))
    _replace(server, urlsplit(url).path.lstrip("/"), template=_postgres(server, settings))
    return True


@functools.cache
def _sqlite(settings: str) -> bytes:
    """A migrated database as a file's contents."""
    with tempfile.TemporaryDirectory(prefix="sluicegate-migrated-") as directory:
        path = Path(directory) / "gateway.sqlite3"
        _migrate(f"{SQLITE}{path}", settings)
        return path.read_bytes()


@functools.cache
def _postgres(server: str, settings: str) -> str:
    """The name of a migrated database of that server, to which nobody is connected."""
    name = f"migrated_{settings.replace('.', '_')}"
    _replace(server, name, template="template1")
    _migrate(urlunsplit(urlsplit(server)._replace(path=f"/{name}")), settings)
    return name


def _replace(server: str, name: str, *, template: str) -> None:
    """Make the database `name` a copy of `template`, whatever it was."""
    with psycopg.connect(server, autocommit=True, connect_timeout=30) as connection:
        connection.execute(SQL("DROP DATABASE IF EXISTS {}").format(Identifier(name)))
        copy = SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(copy.format(Identifier(name), Identifier(template)))


def _migrate(url: str, settings: str) -> None:
    env = {"SECRET_KEY": "for a migration " * 4, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": settings}
    run([sys.executable, "manage.py", "migrate", "-v0"], env=env, timeout=60, check=True)
