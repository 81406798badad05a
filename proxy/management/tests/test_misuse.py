"""What somebody sees who says it wrong: one line that begins as all failures do, with what there is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from proxy.management.staff_command import StaffCommand
from proxy.management.tests.playing import play
from proxy.models import ProgramDeed
from proxy.tests.rows import add_connection, add_node, add_refusal

pytestmark = pytest.mark.usefixtures("any_database")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["connections", "--limit", "-1"], "--limit: a number from 1 to 100000, got '-1'"),
        (["connections", "--limit", "0"], "--limit: a number from 1 to 100000, got '0'"),
        (["connections", "--limit", "100001"], "--limit: a number from 1 to 100000, got '100001'"),
        (["connections", "--limit", "9" * 400], "--limit: a number from 1 to 100000"),
        (["connections", "--limit", "000000999999"], "--limit: a number from 1 to 100000"),
        (["blocks", "--limit", "many"], "--limit: a number from 1 to 100000, got 'many'"),
        (["audit", "--limit", "1e3"], "--limit: a number from 1 to 100000, got '1e3'"),
        (["refusals", "--since", "999999w"], "--since: longer than any calendar: '999999w'"),
        (["refusals", "--since", "0001-01-01"], "--since: no such time: '0001-01-01'"),
        (["refusals", "--since", "-5"], "--since: no such time: '-5'"),
        (["prune_connections", "--days", "-1"], "--days: a number from 0 to 36500, got '-1'"),
        (["prune_connections", "--days", "nan"], "--days: a number from 0 to 36500, got 'nan'"),
        (["prune_connections", "--days", "1e300"], "--days: a number from 0 to 36500, got '1e300'"),
        (["unblock", "x", "--reason", "x"], "id: a number, as the list shows it, got 'x'"),
        (["unblock", "-1", "--reason", "x"], "id: a number, as the list shows it, got '-1'"),
        (["issue_token", "42", "--minutes", "inf"], "--minutes must be at most a year"),
        (["doctor", "--timeout", "nan"], "--timeout must be more than 0"),
        (["kick", "--all", "--foo"], "unrecognized arguments: --foo"),
        (["unblock"], "the following arguments are required: "),
        (
            ["refusals", "--cause", "token_expird"],
            "there is no cause 'token_expird'; did you mean token_expired?",
        ),
        (["refusals", "--route", "studoi"], "there is no route 'studoi'; did you mean studio? There are: "),
        (
            ["connections", "--route", "studoi"],
            "there is no route 'studoi'; did you mean studio? There are: ",
        ),
        (["kick", "--route", "studoi", "--reason", "x"], "there is no route 'studoi'; did you mean studio?"),
        (["audit", "--kind", "proxy.blok"], "there is no kind 'proxy.blok'; did you mean proxy.block?"),
        (["members", "--pool", "studoi"], "there is no pool 'studoi'; did you mean studio? There are: "),
        (
            ["undrain", "ws://a", "--pool", "studoi", "--reason", "x"],
            "there is no pool 'studoi'; did you mean",
        ),
        (["drain", "ws://a", "--pool", "studoi", "--reason", "x"], "there is no pool 'studoi'; did you mean"),
    ],
    ids=lambda each: " ".join(each)[:40] if isinstance(each, list) else "",
)
def test_what_is_wrong_is_said_in_a_line_and_nothing_is_tried(words: list[str], said: str) -> None:
    found = play(*words)
    assert (found.code, found.out, found.err.count("\n")) == (2, "", 1)
    assert found.err.startswith(f"CommandError: {said}")
    assert not ProgramDeed.objects.exists()


def test_a_setting_that_cannot_be_read_is_a_line_that_names_it_and_no_document() -> None:
    env = {**os.environ, "SECRET_KEY": "s" * 64, "GATEWAY_PORT": "abc"}
    env.pop("DJANGO_SETTINGS_MODULE", None)
    command = [sys.executable, "manage.py", "status", "--json"]
    ended = subprocess.run(
        command, cwd=settings.BASE_DIR, env=env, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.splitlines()[-1].startswith("GATEWAY_PORT: must be a whole number")


@pytest.mark.parametrize("as_json", [False, True])
def test_settings_that_do_not_hold_are_told_to_programs_too(as_json: bool) -> None:
    class Command(StaffCommand):
        def check(self, **_: Any) -> None:  # type: ignore[override]  # as `execute` calls it
            raise SystemCheckError("Some issues:\n(gateway.E001) no key")

    out = StringIO()
    with pytest.raises(SystemCheckError):
        call_command(Command(stdout=out), json=as_json, skip_checks=False)
    said = {"code": "failed", "message": "Some issues: (gateway.E001) no key"}
    assert (json.loads(out.getvalue()) if as_json else out.getvalue()) == (said if as_json else "")


def test_a_route_or_a_cause_that_was_is_no_mistake() -> None:
    add_node()
    add_refusal("r1", cause="own_word", route="was")
    add_connection("a", route="was", closed=True)
    for words in (
        ["refusals", "--cause", "own_word", "--user", "nobody"],
        ["refusals", "--route", "was", "--user", "nobody"],
        ["connections", "--route", "was"],
    ):
        assert play(*words, "--json").told == []
    kicked = play("kick", "--route", "was", "--reason", "x", "--yes")
    assert (kicked.code, kicked.err) == (1, "CommandError: nobody is connected with route=was\n")


def test_a_kind_is_known_in_any_case_and_by_what_an_entry_has_had() -> None:
    ProgramDeed.objects.create(who="a shell", kind="old.kind", about="x")
    assert [each["kind"] for each in play("audit", "--kind", "old.kind", "--json").told] == ["old.kind"]
    for words in (["--kind", "old.kind", "--who", "nobody"], ["--kind", "proxy.Block"]):
        assert play("audit", *words, "--json").told == []
    assert "proxy.refusal" not in play("audit", "--kind", "proxy.blok").err


@pytest.mark.parametrize(
    ("words", "code", "failure"),
    [
        (["connections", "--limit", "-1"], 2, "not_tried"),
        (["kick", "--nobody"], 2, "not_tried"),
        (["kick"], 2, "not_tried"),
        (["unblock", "7", "--reason", ""], 2, "not_tried"),
        (["unblock", "7", "--reason", "x"], 1, "failed"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_a_shell_sees_the_same_line_whatever_is_wrong_and_a_program_a_document(
    tmp_path: Path, words: list[str], code: int, failure: str
) -> None:
    env = {**os.environ, "SECRET_KEY": "s" * 64, "DATABASE_URL": f"sqlite:///{tmp_path / 'x.sqlite3'}"}
    ended = subprocess.run(
        [sys.executable, "manage.py", *words, "--json"],
        cwd=settings.BASE_DIR,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    told = json.loads(ended.stdout)
    assert (ended.returncode, told["code"]) == (code, failure)
    assert ended.stderr.splitlines()[-1] == f"CommandError: {told['message']}"
    assert "Traceback" not in ended.stderr
