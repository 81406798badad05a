"""Nodes and members as staff name them behind an option."""

from __future__ import annotations

from django.core.management.base import CommandError
from django.db import Error

from proxy.management.staff_command import Misused
from proxy.models import Node
from proxy.tables.executor import away
from proxy.tables.heart import running_nodes
from proxy.tables.node_names import running_called


def running_node(name: str) -> Node:
    """The node that runs and is called so: its id, or HOST:PID as `nodes` and admin show it.

    Raises:
        Misused: several are.
        CommandError: none is, or the database, where names are looked up, is away.
    """
    try:
        found, nodes = running_called(name), list(running_nodes())
    except Error as error:
        raise CommandError(
            f"{away(error)}, where names are looked up; give the node's id, or --all"
        ) from error
    if not found:
        raise CommandError(f"no such node runs. Running: {names_of(nodes)}")
    if len(found) > 1:
        ids = ", ".join(sorted(node.pk for node in found))
        raise Misused(f"several nodes are called so; give an id: {ids}")
    return found[0]


def names_of(nodes: list[Node]) -> str:
    return ", ".join(map(str, nodes)) or "none"
