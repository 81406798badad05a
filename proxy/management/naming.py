"""Nodes and members as staff name them behind an option."""

from __future__ import annotations

from django.core.management.base import CommandError
from django.db import Error

from proxy.models import Node
from proxy.tables.executor import away
from proxy.tables.heart import running_nodes


def running_node(name: str) -> Node:
    """The node that runs and is called so: its id, or HOST:PID as `nodes` and admin show it.

    Raises:
        CommandError: none is, or the database, where names are looked up, is away.
    """
    try:
        nodes = list(running_nodes())
    except Error as error:
        raise CommandError(
            f"{away(error)}, where names are looked up; give the node's id, or --all"
        ) from error
    for node in nodes:
        if name in {str(node), node.pk}:
            return node
    raise CommandError(f"no such node runs. Running: {names_of(nodes)}")


def names_of(nodes: list[Node]) -> str:
    return ", ".join(map(str, nodes)) or "none"
