"""`manage.py drain`: have nodes send their clients away, finish, and end."""

from __future__ import annotations

import re
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import Error

from proxy.cluster.kicks import reaches_other_processes
from proxy.cluster.questions import LayerAway
from proxy.cluster.signals import ALL_NODES, DRAIN, send_to_topic_sync
from proxy.core.topics import node_topic
from proxy.management.staff_command import Answer, Misused, StaffCommand
from proxy.models import Node
from proxy.tables.deeds import Details, a_shell, note_deed_if_possible
from proxy.tables.executor import away
from proxy.tables.heart import running_nodes

# What a node is called in the record; never mistaken for HOST:PID.
_ID = re.compile("[0-9a-f]{32}")


class Command(StaffCommand):
    help = "Drains nodes: no new links, clients told to come back (1001) over DRAIN_SECONDS, then exit 0."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("node", nargs="?", help="a node's id, or HOST:PID as the admin shows it")
        parser.add_argument("--all", action="store_true", help="every running node")
        parser.add_argument("--reason", default="", help="for the audit")

    def answer(self, **options: Any) -> Answer:
        """Exit code 0 when at least one node was told."""
        if not reaches_other_processes():
            raise CommandError(
                "REDIS_URL is not set: no other process can be reached from here; send SIGTERM"
            )
        if options["all"]:
            topic, whom, node_id = ALL_NODES, "every node", ""
        elif options["node"] and _ID.fullmatch(options["node"]):
            topic, whom, node_id = node_topic(options["node"]), options["node"], options["node"]
        else:
            node = _running_node(options["node"])
            topic, whom, node_id = node_topic(node.pk), str(node), node.pk
        _tell(topic)
        self._note(whom, node_id, options["reason"])
        return Answer({"told": whom}, [f"told {whom} to drain"])

    def _note(self, whom: str, node_id: str, reason: str) -> None:
        said = f"Told to drain: {reason or 'no reason given'}"
        if not note_deed_if_possible(
            a_shell(), Node, said, about=whom, object_id=node_id, details=Details(reason=reason)
        ):
            self.remark("not in the audit: the database is away")


def _tell(topic: str) -> None:
    try:
        send_to_topic_sync(topic, {"type": DRAIN})
    except LayerAway as error:
        raise CommandError(f"not told: {error}") from error


def _running_node(name: str | None) -> Node:
    """The node that the admin shows as `name`."""
    try:
        nodes = list(running_nodes())
    except Error as error:
        raise CommandError(
            f"{away(error)}, where names are looked up; give the node's id, or --all"
        ) from error
    running = ", ".join(map(str, nodes)) or "none"
    if not name:
        raise Misused(f"name a node or --all. Running: {running}")
    for node in nodes:
        if str(node) == name:
            return node
    raise CommandError(f"no such node runs. Running: {running}")
