"""Each command of the gateway takes --json, and has its options and its JSON told in docs/commands.md."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command, load_command_class
from django.core.management.base import BaseCommand

import proxy.management.commands
from proxy.management.staff_command import CommandAnswer, Misused, StaffCommand
from proxy.management.tests.playing import keys_of, play
from proxy.models import Block, PoolMember
from proxy.tables.deeds import note_deed
from proxy.tests.rows import add_connection, add_node, add_refusal

# The server: what it prints is its log, which LOG_FORMAT makes JSON.
SERVER = "serve"
NAMES = sorted(
    path.stem
    for path in Path(*proxy.management.commands.__path__).glob("*.py")
    if path.stem not in {"__init__", SERVER}
)
DOCUMENT = (settings.BASE_DIR / "docs/commands.md").read_text()
OF_DJANGO = {
    flag
    for action in BaseCommand().create_parser("manage.py", "x")._actions
    for flag in action.option_strings
}


def section(name: str) -> str:
    """What the document has of a command."""
    found = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/commands.md has no section {name}"
    return found[1]


@pytest.mark.parametrize("name", NAMES)
def test_a_command_tells_json_by_the_base_that_all_share_and_is_in_the_document(name: str) -> None:
    command = load_command_class("proxy", name)
    assert isinstance(command, StaffCommand)
    assert command.help
    flags = {
        flag
        for action in command.create_parser("manage.py", name)._actions
        for flag in action.option_strings
        if flag.startswith("--") and action.help != "==SUPPRESS=="
    }
    assert "--json" in flags
    assert [flag for flag in sorted(flags - OF_DJANGO) if f"`{flag}" not in section(name)] == []
    assert re.search(rf"^\| .*\[`{name}`\]", DOCUMENT, re.MULTILINE)


def test_no_section_is_of_a_command_that_is_not_there() -> None:
    assert set(re.findall(r"^## (\w+)$", DOCUMENT, re.MULTILINE)) == set(NAMES)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["nodes"],
        ["members"],
        ["connections"],
        ["refusals"],
        ["blocks"],
        ["audit"],
        ["block", "--user", "7", "--for-good", "--reason", "x"],
        ["unblock", "1", "--reason", "x"],
        ["drain", "ws://a:1/ws", "--reason", "x", "--yes"],
        ["undrain", "ws://a:1/ws", "--reason", "x"],
        ["issue_token", "42"],
        ["issue_api_key", "game", "--kick"],
        ["revoke", "--user", "42"],
        ["prune_connections", "--days", "30"],
    ],
    ids=lambda words: str(words[0]),
)
def test_every_name_in_a_document_is_told(words: list[str]) -> None:
    add_node()
    add_connection("a", user_id="42")
    add_refusal("r1", user_id="42")
    Block.objects.create(pk=1, user_id="42")
    PoolMember.objects.create(pool="studio", url="ws://a:1/ws")
    note_deed("key game", Block, "Blocked 42", about="42")
    found = play(*words, "--json")
    assert found.told, found.err
    assert [key for key in sorted(keys_of(found.told)) if f"`{key}`" not in section(words[0])] == []


@pytest.mark.django_db
def test_every_name_in_the_document_of_a_person_is_told_there_or_where_its_rows_are() -> None:
    add_connection("a", user_id="42")
    told = keys_of(play("person", "42", "--json").told)
    known = section("person") + section("connections") + section("blocks")
    assert [key for key in sorted(told) if f"`{key}`" not in known] == []


def test_whatever_gets_into_a_line_a_failure_or_a_remark_reaches_no_terminal_as_it_was() -> None:
    class Command(StaffCommand):
        def answer(self, **options: Any) -> CommandAnswer:
            self.remark("\x1b[2J")
            if options["json"]:
                raise Misused("\x1b[3J")
            return CommandAnswer({}, ["\x1b[4J", "a" * 5_000])

    out, err = StringIO(), StringIO()
    call_command(Command(stdout=out, stderr=err, no_color=True))
    assert out.getvalue() == f"⟨U+001B⟩[4J\n{'a' * 5_000}\n"
    assert err.getvalue() == "⟨U+001B⟩[2J\n"
    with pytest.raises(CommandError, match=r"^⟨U\+001B⟩\[3J$") as failed:
        call_command(Command(stderr=err), json=True)
    assert failed.value.returncode == 2


def test_a_reader_that_has_had_enough_is_no_failure(tmp_path: Path) -> None:
    env = {**os.environ, "SECRET_KEY": "s" * 64, "DATABASE_URL": f"sqlite:///{tmp_path / 'x.sqlite3'}"}
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "manage.py", "issue_token", "42"]
    with os.fdopen(write_end, "w") as closed:
        ended = subprocess.run(
            command, cwd=settings.BASE_DIR, env=env, stdout=closed, stderr=subprocess.PIPE, check=False
        )
    assert (ended.returncode, b"Traceback" in ended.stderr, b"BrokenPipe" in ended.stderr) == (
        0,
        False,
        False,
    )
