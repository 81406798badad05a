"""A drain of a member from a shell: what hits many is asked for, with the figures that admin has."""

from __future__ import annotations

import io
import sys

import pytest
from django.utils import timezone

from proxy.management.tests.playing import play
from proxy.management.tests.test_deeds import Terminal
from proxy.models import MemberReport, PoolMember, ProgramDeed
from proxy.tests.rows import add_node

pytestmark = pytest.mark.usefixtures("any_database")

ONE, TWO = "ws://a:1/ws", "ws://b:1/ws"
LEFT = "No other member takes new links: newcomers will get 503."


def add_member(url: str, *, links: int) -> None:
    """One that the node says is there."""
    PoolMember.objects.create(pool="studio", url=url)
    seen = {"breaker": "closed", "updated_at": timezone.now()}
    MemberReport.objects.create(pool="studio", url=url, node_id="n1", state="available", links=links, **seen)


def drain(*words: str, typed: str | None, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, bool]:
    """The exit code, what was asked, and whether it is drained. Nothing typed: there is no terminal."""
    monkeypatch.setattr(sys, "stdin", io.StringIO() if typed is None else Terminal(typed))
    found = play("drain", ONE, "--reason", "a new kernel", *words)
    return found.code, found.err, PoolMember.objects.get(url=ONE).draining


def test_the_last_member_that_takes_links_is_drained_once_somebody_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_node()
    add_member(ONE, links=34)
    question = f"This drains {ONE} of studio. It has 34 links. {LEFT}"
    unasked = drain(typed=None, monkeypatch=monkeypatch)
    said = f"CommandError: {question} Nobody was asked, since stdin is no terminal: say --yes\n"
    assert unasked == (2, said, False)
    refused = drain(typed="\n", monkeypatch=monkeypatch)
    assert refused == (2, f"{question} Go on? [y/N] CommandError: nothing was done\n", False)
    assert not ProgramDeed.objects.exists()
    assert drain(typed="y\n", monkeypatch=monkeypatch) == (0, f"{question} Go on? [y/N] ", True)
    assert drain("--yes", typed=None, monkeypatch=monkeypatch) == (0, "", True)


def test_one_of_several_is_drained_without_a_question_unless_many_links_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_node()
    add_member(ONE, links=50)
    add_member(TWO, links=0)
    moved = drain("--move", typed=None, monkeypatch=monkeypatch)
    question = f"This drains {ONE} of studio. This ends 50 links over 30 seconds. 1 other member left."
    assert (moved[0], moved[2]) == (2, False)
    assert moved[1].startswith(f"CommandError: {question} Nobody was asked")
    assert drain(typed=None, monkeypatch=monkeypatch) == (0, "", True)
    MemberReport.objects.filter(url=ONE).update(links=49)
    assert drain("--move", typed=None, monkeypatch=monkeypatch) == (0, "", True)
