"""Nodes by what they are called: the id that programs have, or HOST:PID, as lists, pages and logs show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proxy.models import Node
from proxy.tables.heart import running_nodes

_LARGEST_PID = (1 << 31) - 1


def ids_called(name: str) -> list[str]:
    """The ids of the nodes of that name, also of such as have stopped: in containers each is `HOST:1`.

    What is nobody's name is an id, which may have no row.
    """
    host, _, pid = name.strip().rpartition(":")
    if not (host and pid.isascii() and pid.isdigit() and len(pid) < 11 and int(pid) <= _LARGEST_PID):
        return [name]
    return list(Node.objects.filter(host=host, pid=int(pid)).values_list("pk", flat=True)) or [name]


def running_called(name: str) -> list[Node]:
    """Those of them that run; several, where processes of several hosts have one name."""
    return list(running_nodes().filter(pk__in=ids_called(name)))


def by_columns(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Rows are filtered so; a `node_id` may be any name of the node."""
    found = {column: value for column, value in wanted.items() if column != "node_id"}
    return found | ({"node_id__in": ids_called(wanted["node_id"])} if "node_id" in wanted else {})
