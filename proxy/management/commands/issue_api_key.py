"""manage.py issue_api_key: a key for a program that calls the HTTP API."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from proxy.core.rights import Rights
from proxy.management.staff_command import CommandAnswer, DeedCommand, Misused
from proxy.tables import api_keys
from proxy.tables.deeds import a_shell


class Command(DeedCommand):
    help = "Prints a new API key, and nothing else. It cannot be printed again: the database keeps its hash."
    needs_reason = False
    reason_help = "what it is for, for the audit"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name", help="who uses it, as admin and logs show it")
        parser.add_argument(
            "--publish",
            metavar="TOPICS",
            default="",
            help="what it may publish to, separated by commas: user:*,room:lobby-*,everyone, or * for all",
        )
        parser.add_argument("--kick", action="store_true", help="it may end links")
        parser.add_argument("--connections", action="store_true", help="it may see who is connected")
        parser.add_argument("--revoke", action="store_true", help="it may take tokens back")
        parser.add_argument(
            "--may",
            metavar="RIGHTS",
            default="",
            help="what else it may do, separated by commas: rights of products (chat.add_participant) and of "
            "staff (proxy.view_refusal)",
        )

    def answer(self, *, name: str, publish: str, may: str, reason: str, **options: Any) -> CommandAnswer:
        rights = Rights(
            publish=_several(publish),
            kick=options["kick"],
            list_connections=options["connections"],
            revoke=options["revoke"],
            others=_several(may),
        )
        if rights == Rights():
            flags = "--publish, --kick, --connections, --revoke or --may"
            raise Misused(f"a key that may do nothing: name {flags}")
        try:
            key = api_keys.issue(name, rights, by=a_shell(), reason=reason)
        except ValueError as error:
            raise Misused(str(error)) from error
        return CommandAnswer({"name": name, "key": key}, [key])


def _several(words: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, words.split(","))))
