"""The database that DATABASE_URL names, as Django's DATABASES takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dj_database_url

CONNECT_SECONDS = 3
POOL_WAIT_SECONDS = 4.0
# How long the kernel goes on with a peer that acknowledges nothing.
SILENT_PEER_SECONDS = 10


def database(url: str, *, sqlite_path: Path, most_connections: int) -> dict[str, Any]:
    """Settings of the database at `url`, or of the SQLite at `sqlite_path` if that is empty.

    Raises ValueError: no such URL, or it names no database.
    """
    settings: dict[str, Any] = dict(dj_database_url.parse(url or f"sqlite:///{sqlite_path}"))
    if not settings["NAME"]:
        raise ValueError("no database is named")
    # Under ASGI each request has a thread of its own, and a connection that outlived it would be nobody's.
    settings["CONN_MAX_AGE"] = 0
    if settings["ENGINE"].endswith("sqlite3"):
        settings["OPTIONS"] = _sqlite_options()
    else:
        settings["CONN_HEALTH_CHECKS"] = True
        settings["OPTIONS"] = {**_postgresql_options(most_connections), **settings.get("OPTIONS", {})}
    # django_prometheus' backends are Django's own, counted.
    settings["ENGINE"] = settings["ENGINE"].replace("django.db.backends", "django_prometheus.db.backends")
    return settings


def _sqlite_options() -> dict[str, Any]:
    """Several processes write the record: take the write lock at BEGIN, and let readers go on meanwhile."""
    return {
        "timeout": 1,  # whoever writes in the background tries again; staff are told
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }


def _postgresql_options(most_connections: int) -> dict[str, Any]:
    from proxy.tables.postgres import BoundedConnection

    return {
        "connect_timeout": CONNECT_SECONDS,
        "keepalives": 1,
        "keepalives_idle": SILENT_PEER_SECONDS // 2,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": SILENT_PEER_SECONDS * 1000,
        "pool": {
            "connection_class": BoundedConnection,
            "min_size": 1,
            "max_size": most_connections,
            "timeout": POOL_WAIT_SECONDS,
            "max_idle": 60.0,
            # How long the pool tries by itself before it waits to be asked again.
            "reconnect_timeout": 1.0,
        },
    }
