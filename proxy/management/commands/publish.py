"""`manage.py publish TOPIC JSON`: one event to all clients that hear the topic."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from proxy.cluster.publishing import Delivered, publish
from proxy.cluster.questions import LayerAway
from proxy.core.human import counted
from proxy.management.staff_command import CommandAnswer, Misused, StaffCommand
from proxy.models import Connection
from proxy.registry import history_of
from proxy.tables.deeds import Details, a_shell, note_deed_if_possible


class Command(StaffCommand):
    help = 'Publish one event, such as: publish user:42 \'{"type":"quest.updated"}\''

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "topic", help="user:ID, connection:ID, everyone, or KIND:NAME of a route's own kind"
        )
        parser.add_argument("event", help="a JSON object with a 'type'")
        parser.add_argument(
            "--idempotency-key",
            metavar="KEY",
            help="publish nothing if KEY was used in the last five minutes",
        )

    def answer(self, *, topic: str, event: str, idempotency_key: str | None, **options: Any) -> CommandAnswer:
        if not settings.REDIS_URL:
            raise CommandError("REDIS_URL is not set: without Redis, no other process can be reached.")
        try:
            decoded = json.loads(event)
        except ValueError as error:
            raise Misused(
                f'the event is not JSON ({error}); one is like \'{{"type":"quest.updated"}}\''
            ) from error
        try:
            delivered = publish(topic, decoded, idempotency_key=idempotency_key)
        except ValueError as error:
            raise Misused(str(error)) from error
        except LayerAway as error:
            raise CommandError(f"not published: {error}") from error
        self._note(topic, decoded["type"], delivered.links)
        words = _told(delivered, is_kept=history_of(topic) is not None)
        told = {name: getattr(delivered, name) for name in ("nodes", "links", "silent")}
        return CommandAnswer({"topic": topic} | told, [f"published to {topic}: {words}"])

    def _note(self, topic: str, kind: str, links: int) -> None:
        said, details = (
            f"Published a {kind} to {counted(links, 'connection')} on {topic}",
            Details(count=links),
        )
        if not note_deed_if_possible(a_shell(), Connection, said, about=topic, details=details):
            self.remark("not in the audit: the database is away")


def _told(delivered: Delivered, *, is_kept: bool) -> str:
    silent = f"; no word yet from {counted(delivered.silent, 'node')}" if delivered.silent else ""
    if not delivered.links:
        kept = "; who comes back in time hears it" if is_kept else ""
        return f"nobody is there{silent}{kept}"
    return f"{counted(delivered.links, 'link')} on {counted(delivered.nodes, 'node')} took it{silent}"
