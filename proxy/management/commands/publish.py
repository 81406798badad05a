"""`manage.py publish TOPIC JSON`: one event to all clients that hear the topic."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from proxy.cluster.publishing import publish_on_commit
from proxy.cluster.signals import LayerAway


class Command(BaseCommand):
    help = 'Publish one event, such as: publish user:42 \'{"type":"quest.updated"}\''

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "topic", help="user:ID, connection:ID, everyone, or KIND:NAME of a route's own kind"
        )
        parser.add_argument("event", help="a JSON object with a 'type'")

    def handle(self, *args: Any, topic: str, event: str, **options: Any) -> None:
        if not settings.REDIS_URL:
            raise CommandError("REDIS_URL is not set: without Redis, no other process can be reached.")
        try:
            decoded = json.loads(event)
        except ValueError as error:
            raise CommandError(
                f'the event is not JSON ({error}); one is like \'{{"type":"quest.updated"}}\''
            ) from error
        try:
            publish_on_commit(topic, decoded)
        except ValueError as error:
            raise CommandError(str(error)) from error
        except LayerAway as error:
            raise CommandError(f"not published: {error}") from error
        self.stdout.write(f"published to {topic}")
