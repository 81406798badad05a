"""`manage.py block`: keep out a user, an address or a network, or a user from there."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from proxy.core.human import counted
from proxy.core.text_tables import plain
from proxy.management.staff_command import CommandAnswer, DeedCommand, Misused
from proxy.management.times import moment, span
from proxy.management.told import told_block
from proxy.tables.blocking import WORD, Hit, as_block, place
from proxy.tables.deeds import a_shell


class Command(DeedCommand):
    help = (
        "Keeps somebody out on every node: links end with 4003, handshakes are refused. Asks if it is wide."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--user", metavar="ID", default="", help="this user id")
        parser.add_argument("--network", default="", help="this address or network, such as 2001:db8::/32")
        lasts = parser.add_mutually_exclusive_group(required=True)
        lasts.add_argument("--for", dest="span", type=span, metavar="SPAN", help="so long: 15m, 24h, 7d")
        lasts.add_argument("--until", type=moment, metavar="TIME", help="until then")
        lasts.add_argument("--for-good", action="store_true", help="until somebody lifts it")
        parser.add_argument("--yes", action="store_true", help="do not ask, where it hits many")
        parser.add_argument(
            "--word",
            default="",
            help=f"{WORD}, where it keeps out a large part of the world: what would have to be typed",
        )

    def answer(self, *, user: str, network: str, reason: str, **options: Any) -> CommandAnswer:
        until = _until(options["span"], options["until"])
        try:
            block = as_block(user_id=user, network=network, until=until, reason=reason)
        except ValueError as error:
            raise Misused(str(error)) from None
        hit = Hit.of(block)
        more = "+" if hit.is_bounded else ""
        ends = f"{counted(hit.links, 'live link')}{more} of {counted(hit.users, 'user')}{more}"
        question = f"This blocks {plain(str(block))}, and ends {ends}."
        if hit.needs_word:
            self.confirm(question, yes=options["word"] == WORD, word=WORD)
        elif hit.is_to_be_asked:
            self.confirm(question, yes=options["yes"])
        place(block, hit=hit, by=a_shell())
        told = told_block(block) | {"links": hit.links, "users": hit.users, "is_bounded": hit.is_bounded}
        return CommandAnswer(told, [plain(f"block {block.pk} keeps out {block}, and ends {ends}", 400)])


def _until(lasts: timedelta | None, until: datetime | None) -> datetime | None:
    """None: for good. Raises Misused for more than there is time."""
    try:
        return until if lasts is None else timezone.now() + lasts
    except OverflowError:
        raise Misused("--for is longer than any calendar; say --for-good") from None
