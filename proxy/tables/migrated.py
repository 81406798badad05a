"""Has the database all migrations? Asked once, before a server starts."""

from __future__ import annotations

import threading

from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor


def missing_migrations(*, within_seconds: float) -> list[str]:
    """The names of those that the database lacks, in order; none if it could not say in time.

    On a thread of its own, since a database that has gone silent answers nobody's deadline.
    """
    missing: list[str] = []
    asking = threading.Thread(target=_ask, args=(missing,), name="migrations", daemon=True)
    asking.start()
    asking.join(within_seconds)
    return [] if asking.is_alive() else missing


def _ask(missing: list[str]) -> None:
    connection = connections[DEFAULT_DB_ALIAS].copy()
    # A pool would try again and again, and keep its threads in a master that never asks a second time.
    connection.settings_dict["OPTIONS"].pop("pool", None)
    connections[DEFAULT_DB_ALIAS] = connection  # this thread's: Django asks for the rows by the alias
    try:
        missing.extend(lacking(connection))
    except Error:
        return  # it is away, and clients are served all the same
    finally:
        connection.close()


def lacking(connection: BaseDatabaseWrapper) -> list[str]:
    """The names of the migrations that the database behind `connection`, which is this thread's default one,
    lacks, in order. Raises django.db.Error."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]
