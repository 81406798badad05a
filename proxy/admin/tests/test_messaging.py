"""What staff say to those who are connected: who would hear it is said first, and it is noted once."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from proxy.admin import messaging
from proxy.admin.tests.test_admin import log_in
from proxy.tests.rows import add_connection

pytestmark = pytest.mark.django_db
LIST = "/admin/proxy/connection/"
BROADCAST = f"{LIST}broadcast/"
SAID = {"confirmed": "yes", "text": "We restart\r\nat noon", "reason": "upgrade"}


@pytest.fixture
def staff(client: Client) -> Client:
    for name, user_id, route in (("a", "42", "game"), ("b", "42", "studio"), ("c", "7", "game")):
        add_connection(name, user_id=user_id, route=route)
    add_connection("d", user_id="9", closed=True)
    return log_in(client, "view_connection", "message_connection", "broadcast_connection")


def noted() -> tuple[str, str]:
    entry = LogEntry.objects.get()
    return entry.object_repr, entry.change_message


def test_it_is_asked_first_with_how_many_hear_it(staff: Client) -> None:
    def asked(action: str, *ids: str) -> str:
        answer = staff.post(LIST, {"action": action, "_selected_action": ids})
        return answer.content.decode()

    assert "It goes to 2 live connections." in asked("message_links", "a", "c", "d")
    assert "all connections of 2 users, of which 3 are live now" in asked("message_users", "a", "c")
    assert "everyone (3 live connections)" in staff.get(BROADCAST).content.decode()
    assert "studio (1 live)" in staff.get(BROADCAST).content.decode()
    assert not LogEntry.objects.exists()


def test_what_was_said_is_one_entry_with_reason_and_filter(staff: Client) -> None:
    form = {"action": "message_links", "_selected_action": ["a"], "select_across": "1", **SAID}
    answer = staff.post(f"{LIST}?route=game", form, follow=True)
    assert "Sent to 0 connections." in answer.content.decode()  # there is no node
    said = "Told 0 connections “We restart\nat noon”: upgrade; to a, c; found by route=game"
    assert noted() == ("2 connections", said)


@pytest.mark.parametrize(
    ("to", "about", "said"), [("everyone", "everyone", "upgrade"), ("route:studio", "b", "by route=studio")]
)
def test_a_broadcast_is_one_entry_too(staff: Client, to: str, about: str, said: str) -> None:
    answer = staff.post(BROADCAST, {"to": to, **SAID})
    assert (answer.status_code, answer.headers["Location"]) == (302, LIST)
    assert noted()[0] == about
    assert noted()[1].endswith(said)


def test_nothing_is_said_to_nobody_to_too_many_or_without_text_and_reason(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(**values: object) -> str:
        form = {"action": "message_links", "_selected_action": ["a", "b", "c"], **SAID, **values}
        return staff.post(LIST, form, follow=True).content.decode()

    assert "Nobody of them is connected." in said(_selected_action="d")
    assert "This field is required." in said(reason="")
    assert "at most 500 characters" in said(text="x" * 501)
    assert "without control characters" in said(text="a\x1bb")
    monkeypatch.setattr(messaging, "MOST_TOLD", 2)
    assert "More than 2: broadcast it." in said()
    assert not LogEntry.objects.exists()
