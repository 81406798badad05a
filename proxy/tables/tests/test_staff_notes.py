"""What staff do is noted by whom it hits, wherever it is done."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from proxy.cluster.kicks import kick
from proxy.cluster.revocations import revoke
from proxy.cluster.user_changes import take_back
from proxy.core.people import NoteKind
from proxy.models import Block, StaffNote
from proxy.tables.deeds import a_shell
from proxy.tables.staff_notes import note_block
from proxy.tests.rows import add_connection

pytestmark = pytest.mark.usefixtures("any_database")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def notes() -> list[tuple[str, str, str, str]]:
    return sorted(StaffNote.objects.values_list("user_id", "kind", "text", "by"))


def test_a_kick_is_noted_for_each_user_whose_links_it_names_as_of_when_it_was_sent() -> None:
    for link, user_id in (("a1", "ada"), ("a2", "ada"), ("b", "bob"), ("nobody's", ""), ("c", "carol")):
        add_connection(link, user_id=user_id, closed=True)
    began = timezone.now()
    kick(user_ids=["dave"], connection_ids=["a1", "a2", "b", "nobody's"], reason="be kind", by="a key")
    assert notes() == [(user, "kicked", "be kind", "a key") for user in ("ada", "bob", "dave")]
    assert all(began <= note.at <= began + timedelta(seconds=2) for note in StaffNote.objects.all())


def test_a_kick_of_everybody_is_one_line() -> None:
    for user_id in ("ada", "bob"):
        add_connection(user_id, user_id=user_id)
    kick(everyone=True, reason="a restart")
    assert notes() == [("", "kicked", "a restart", a_shell())]


def test_a_block_is_noted_with_its_terms_for_the_user_that_it_names() -> None:
    for block in (
        Block(user_id="ada", reason="spam"),
        Block(user_id="bob", network="192.0.2.0/24", until=NOON),
        Block(network="192.0.2.0/24"),
    ):
        note_block(block, NoteKind.BLOCKED, by="vera")
    assert notes() == [
        ("ada", "blocked", "for good: spam", "vera"),
        ("bob", "blocked", "until 2026-01-01 12:00 UTC, from 192.0.2.0/24", "vera"),
    ]


def test_a_revocation_is_noted_for_its_user_or_for_all_and_a_tokens_for_nobody() -> None:
    revoke(user="ada", issued_before=NOON, reason="lost phone", by="vera")
    revoke(issued_before=NOON, by="vera")
    revoke(jti="a token", by="vera")
    before = "issued before 2026-01-01 12:00:00 UTC"
    assert notes() == [
        ("", "revoked", before, "vera"),
        ("ada", "revoked", f"{before}: lost phone", "vera"),
    ]


def test_who_logs_out_again_and_again_has_one_line_of_it() -> None:
    for _ in range(3):
        take_back(["ada"], change="logout", reason="logged out")
    take_back(["ada"], change="password", reason="password changed")
    assert [text for _, _, text, _ in notes()] == ["logged out", "password changed"]
