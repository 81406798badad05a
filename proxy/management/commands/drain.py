"""`manage.py drain`: have nodes send their clients away, finish, and end."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from proxy.core.topics import node_topic
from proxy.kicks import reaches_other_processes
from proxy.models import Node
from proxy.nodes import running_nodes
from proxy.publishing import DRAIN, send_to_topic_sync


class Command(BaseCommand):
    help = "Drains nodes: no new links, clients told to come back (1001) over DRAIN_SECONDS, then exit 0."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("node", nargs="?", help="a node's id, or HOST:PID as the admin shows it")
        parser.add_argument("--all", action="store_true", help="every running node")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit code 0 when at least one node was told."""
        if not reaches_other_processes():
            raise CommandError(
                "REDIS_URL is not set: no other process can be reached from here; send SIGTERM"
            )
        nodes = [
            node for node in running_nodes() if options["all"] or options["node"] in {node.pk, str(node)}
        ]
        if not options["all"] and not options["node"]:
            raise CommandError(f"name a node or --all. Running: {_names(list(running_nodes()))}")
        if not nodes:
            raise CommandError(f"no such node runs. Running: {_names(list(running_nodes()))}")
        for node in nodes:
            try:
                send_to_topic_sync(node_topic(node.pk), {"type": DRAIN})
            except Exception as error:
                raise CommandError(f"the channel layer did not take it: {error}") from error
            self.stdout.write(f"told {node} to drain")


def _names(nodes: list[Node]) -> str:
    return ", ".join(map(str, nodes)) or "none"
