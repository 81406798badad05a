"""`manage.py unblock`: lift a block."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from proxy.core.text_tables import plain
from proxy.management.staff_command import CommandAnswer, DeedCommand
from proxy.management.times import row_id
from proxy.management.told import told_block
from proxy.tables.blocking import lift
from proxy.tables.deeds import a_shell

_LARGEST_ID = (1 << 63) - 1


class Command(DeedCommand):
    help = "Lifts a block: who was kept out may come in again."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("id", type=row_id, help="its id, as `blocks` shows it")

    def answer(self, *, id: int, reason: str, **options: Any) -> CommandAnswer:
        block = lift(id, reason=reason, by=a_shell()) if id <= _LARGEST_ID else None
        if block is None:
            raise CommandError("there is no such block")
        return CommandAnswer(told_block(block) | {"id": id}, [plain(f"lifted block {id} of {block}", 400)])
