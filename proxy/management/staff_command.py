"""What all commands of staff share: --json, bounded waits, failures in one line, exit codes.

What fails ends in one line on stderr that begins with `CommandError:`, and with --json in a document, too.
Exit codes: 0, it was done; 1, it could not be done, or what was looked at is not well; 2, nothing was tried,
since the arguments are wrong or nobody confirmed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser, SystemCheckError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import Error

from proxy.core.human import is_printable
from proxy.core.text_tables import plain
from proxy.tables.executor import away, bound_waits
from proxy.tables.known import UnknownWord

FAILED, NOT_TRIED = 1, 2
MAX_REASON_CHARS = 200
_YES = {"y", "yes"}


@dataclass(frozen=True, slots=True)
class CommandAnswer:
    """What a command has to say: `told` to programs, an object or an array; `lines` to people.

    What of them does not print is written out by the base, wherever it came from.
    """

    told: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    lines: Iterable[str]
    exit_code: int = 0


class Misused(CommandError):
    """The arguments are wrong, or nobody confirmed: nothing was tried."""

    def __init__(self, said: str) -> None:
        super().__init__(said, returncode=NOT_TRIED)


class StaffCommand(BaseCommand):
    """A command that answers, as lines or as JSON. What waits for a store, waits a few seconds at most."""

    has_bounded_waits = True

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """As Django does; but what it does not take is a failure like others."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.error = _misused  # type: ignore[method-assign]  # it is made by Django
        return parser

    def run_from_argv(self, argv: list[str]) -> None:
        """As Django does. What its parser does not take it would show as a traceback."""
        try:
            super().run_from_argv(argv)
        except Misused as error:
            self._tell_failure(error, as_document="--json" in argv)
            self.stderr.write(f"CommandError: {_shown(str(error))}")
            sys.exit(error.returncode)

    def execute(self, *args: Any, **options: Any) -> Any:
        """As Django does.

        Raises:
            CommandError: itself, by whose name Django's line begins, for whatever could not be done.
        """
        try:
            return super().execute(*args, **options)
        except SystemCheckError as error:  # of settings; Django shows it in lines of its own
            self._tell_failure(
                CommandError(_shown(" ".join(str(error).split()))), as_document=options["json"]
            )
            raise
        except Error as error:
            failed = CommandError(away(error))
        except UnknownWord as error:
            failed = Misused(_shown(str(error)))
        except CommandError as error:
            failed = CommandError(_shown(str(error)), returncode=error.returncode)
        self._tell_failure(failed, as_document=options["json"])
        raise failed

    def _tell_failure(self, error: CommandError, *, as_document: bool) -> None:
        if as_document:
            code = "not_tried" if error.returncode == NOT_TRIED else "failed"
            self.stdout.write(as_json({"code": code, "message": str(error)}))

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--json", action="store_true", help="a JSON document on stdout (docs/commands.md)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if self.has_bounded_waits:
            bound_waits()
        answer = self.answer(**options)
        try:
            for line in [as_json(answer.told)] if options["json"] else map(_shown, answer.lines):
                self.stdout.write(line)
            self.stdout.flush()
        except BrokenPipeError:  # whoever read it has had enough, as `head` has
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if answer.exit_code:
            sys.exit(answer.exit_code)

    def answer(self, *args: Any, **options: Any) -> CommandAnswer:
        """What there is to say.

        Raises:
            CommandError: it could not be done; str() says why.
            UnknownWord: of what was asked for there is nothing by that name.
            django.db.Error: the database is away.
        """
        raise NotImplementedError

    def remark(self, said: str) -> None:
        """Something that belongs to no document: to stderr."""
        self.stderr.write(_shown(said), self.style.NOTICE)

    def confirm(self, said: str, *, yes: bool, word: str = "") -> None:
        """Ask on the terminal, unless `yes`; a `word` has to be typed. Raises Misused for another answer."""
        if yes:
            return
        flag = f"--word {word}" if word else "--yes"
        if not sys.stdin.isatty():
            raise Misused(f"{said} Nobody was asked, since stdin is no terminal: say {flag}")
        ask = f"To go on, type “{word}”: " if word else "Go on? [y/N] "
        self.stderr.write(_shown(f"{said} {ask}"), str, ending="")
        self.stderr.flush()
        typed = sys.stdin.readline().strip().lower()
        if typed not in ({word} if word else _YES):
            raise Misused("nothing was done")


class DeedCommand(StaffCommand):
    """A command that does something to people: it takes a reason, and is noted once, for whoever plays it."""

    needs_reason = True
    reason_help = "why, for the audit and other staff; clients are not told"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--reason", required=self.needs_reason, default="", help=self.reason_help)

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises Misused for a reason that is none."""
        reason = " ".join(options["reason"].split())
        if self.needs_reason and not reason:
            raise Misused("--reason is empty: say why")
        if len(reason) > MAX_REASON_CHARS or not is_printable(reason):
            raise Misused(f"--reason is printable text of at most {MAX_REASON_CHARS} characters")
        super().handle(*args, **{**options, "reason": reason})


def _misused(message: str) -> NoReturn:
    said = message.removeprefix("argument ")
    raise Misused(f"{said} (--help shows what there is)")


def _shown(line: str) -> str:
    """A line of any length as a terminal may have it, whatever was put into it."""
    return line if line.isprintable() else plain(line, len(line) * 10)


def as_json(told: Any) -> str:
    """In ASCII alone, so that a terminal that it is shown on obeys none of it; times are ISO 8601, in UTC."""
    return json.dumps(told, cls=DjangoJSONEncoder, indent=1).replace("\x7f", "\\u007f")
