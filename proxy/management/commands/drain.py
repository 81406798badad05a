"""`manage.py drain`: have nodes send their clients away, finish, and end; or a member get no new links."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from django.core.management.base import CommandError, CommandParser

from proxy.cluster.kicks import reaches_other_processes
from proxy.cluster.node_draining import drain_node
from proxy.cluster.questions import LayerAway
from proxy.cluster.signals import ALL_NODES, DRAIN, send_to_topic_sync
from proxy.core.topics import node_topic
from proxy.management.member_draining import do_to_member
from proxy.management.naming import names_of, running_node
from proxy.management.staff_command import CommandAnswer, DeedCommand, Misused
from proxy.models import Node
from proxy.tables.deeds import Details, a_shell, note_deed_if_possible
from proxy.tables.heart import running_nodes
from proxy.tables.member_draining import MOVE_SECONDS, Drain

# What a node is called in the record; never mistaken for HOST:PID.
_ID = re.compile("[0-9a-f]{16}")
NO_REASON = "no reason given"


class Command(DeedCommand):
    help = (
        "Drains nodes: no new links, clients told to come back (1001) over DRAIN_SECONDS, then exit 0. Or "
        "a member of a pool, by its URL: it gets no new links."
    )
    needs_reason = False  # but for a member
    reason_help = "why, for the audit; a member needs one"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "node", nargs="?", help="a node's id, or HOST:PID as the admin shows it; or a member's URL"
        )
        parser.add_argument("--all", action="store_true", help="every running node")
        parser.add_argument("--pool", help="the pool of the member, where several have it")
        parser.add_argument(
            "--move",
            action="store_true",
            help=f"of a member: also end the links that it has, spread over {MOVE_SECONDS} seconds",
        )

        parser.add_argument(
            "--yes", action="store_true", help="do not ask, where a pool is left without members, or many end"
        )

    def answer(self, *, node: str | None, reason: str, **options: Any) -> CommandAnswer:
        """Exit code 0 when at least one node was told."""
        if node and "://" in node:
            if not reason:
                raise Misused("--reason is empty: say why")
            how = Drain.MOVE if options["move"] else Drain.DRAIN
            confirm = partial(self.confirm, yes=options["yes"])
            return do_to_member(how, node, pool=options["pool"], reason=reason, confirm=confirm)
        if options["pool"] or options["move"]:
            raise Misused("--pool and --move are of members: name one by its URL")
        if not reaches_other_processes():
            raise CommandError(
                "REDIS_URL is not set: no other process can be reached from here; send SIGTERM"
            )
        if options["all"]:
            told = self._tell(ALL_NODES, "every node", reason)
        elif node and _ID.fullmatch(node):
            told = self._tell(node_topic(node), node, reason)
        elif node:
            told = _drain_node(running_node(node), reason)
        else:
            raise Misused(f"name a node or --all. Running: {names_of(list(running_nodes()))}")
        return CommandAnswer({"told": told}, [f"told {told} to drain"])

    def _tell(self, topic: str, whom: str, reason: str) -> str:
        """By the message alone, which needs no database; noted where there is one."""
        try:
            send_to_topic_sync(topic, {"type": DRAIN})
        except LayerAway as error:
            raise CommandError(f"not told: {error}") from error
        node_id = "" if topic == ALL_NODES else whom
        said, details = f"Told to drain: {reason or NO_REASON}", Details(reason=reason)
        if not note_deed_if_possible(a_shell(), Node, said, about=whom, object_id=node_id, details=details):
            self.remark("not in the audit: the database is away")
        return whom


def _drain_node(node: Node, reason: str) -> str:
    """By its row, too, which it reads as it beats. Raises CommandError: it was told before."""
    if not drain_node(node, reason=reason or NO_REASON, by=a_shell()):
        raise CommandError(f"{node} was told before, or does not run any more")
    return str(node)
