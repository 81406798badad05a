"""The page of events for other services that a broker refused."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from proxy.admin.tests.test_admin import log_in
from proxy.models import OutgoingEvent

pytestmark = pytest.mark.usefixtures("any_database")
LIST = "/admin/proxy/outgoingevent/"


def add(subject: str, refused: str = "") -> int:
    event = OutgoingEvent(subject=subject, key="k", body='{"text":"<b>"}', size_bytes=14, refused=refused)
    event.save()
    return event.pk


def try_again(client: Client, *ids: int) -> str:
    form = {
        "action": "try_again",
        "_selected_action": ids,
        "confirmed": "yes",
        "reason": "more room",
    }
    return client.post(LIST, form, follow=True).content.decode()


def test_what_was_refused_is_shown_with_the_reason_and_sent_again(client: Client) -> None:
    staff = log_in(client, "view_outgoingevent", "change_outgoingevent")
    add("chat.waits")
    refused = add("chat.<large>", "message size exceeds maximum allowed")
    for page in (LIST, f"{LIST}{refused}/change/"):
        text = staff.get(page).content.decode()
        assert "chat.&lt;large&gt;" in text
        assert "message size exceeds maximum allowed" in text
        assert "chat.waits" not in text
    asked = staff.post(LIST, {"action": "try_again", "_selected_action": refused}).content.decode()
    assert "1 event of 1 subject will be sent" in asked
    assert OutgoingEvent.objects.exclude(refused="").exists()
    assert "1 event will be sent again." in try_again(staff, refused)
    assert not OutgoingEvent.objects.exclude(refused="").exists()
    (noted,) = LogEntry.objects.values_list("object_repr", "change_message")
    said = f"Sent 1 event again: more room (chat.<large>: {refused})"
    assert noted == ("1 event", said)


def test_who_may_look_may_not_have_it_sent_again(client: Client) -> None:
    staff = log_in(client, "view_outgoingevent")
    refused = add("chat.large", "too large")
    try_again(staff, refused)
    assert OutgoingEvent.objects.filter(pk=refused, refused="too large").exists()
    assert staff.get(f"{LIST}add/").status_code == 403
