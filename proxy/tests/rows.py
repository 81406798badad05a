"""Rows of the record for tests."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from proxy.models import Connection, Node, Refusal


def add_node(node_id: str = "n1", *, silent_seconds: float = 0, **values: Any) -> Node:
    beat = timezone.now() - timedelta(seconds=silent_seconds)
    return Node.objects.create(
        id=node_id, started_at=beat, heartbeat_at=beat, **{"host": "box", "pid": 7, **values}
    )


def connection(
    connection_id: str, *, age_seconds: float = 60, closed: bool = False, **values: Any
) -> Connection:
    """A row that is not saved; `closed` ends it now, by the client."""
    if closed:
        values = {"closed_at": timezone.now(), "close_code": 1000, "closed_by": "client", **values}
    opened_at = timezone.now() - timedelta(seconds=age_seconds)
    return Connection(id=connection_id, opened_at=opened_at, **{"node_id": "n1", "route": "game", **values})


def add_connection(connection_id: str, **values: Any) -> Connection:
    row = connection(connection_id, **values)
    row.save(force_insert=True)
    return row


def add_refusal(refusal_id: str, **values: Any) -> Refusal:
    given = {"refused_at": timezone.now(), "route": "game", "cause": "token_expired", "status": 401, **values}
    return Refusal.objects.create(id=refusal_id, node_id="n1", **given)
