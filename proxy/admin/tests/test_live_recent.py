"""What the process knows of links that Live has just shown."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from proxy.admin import live_rows
from proxy.admin.live_recent import EVERY_SECONDS, FORGOTTEN_SECONDS, MOST_POINTS, Recent
from proxy.models import Connection
from proxy.tests.rows import add_connection


def test_it_tells_what_was_shown_before_one_point_in_five_seconds() -> None:
    now = 0.0
    recent = Recent(clock=lambda: now)
    assert recent.note({"a": 1}) == {"a": ""}
    now = EVERY_SECONDS - 1
    assert recent.note({"a": 2}) == {"a": "4.0:1"}
    now = EVERY_SECONDS
    assert recent.note({"a": 3, "b": 9}) == {"a": "5.0:1", "b": ""}
    assert recent.note({"a": 3}) == {"a": "5.0:1 0.0:3"}


def test_what_it_keeps_is_bounded_and_what_nobody_was_shown_is_forgotten() -> None:
    now = 0.0
    recent = Recent(clock=lambda: now)
    for number in range(3 * MOST_POINTS):
        now = EVERY_SECONDS * number
        told = recent.note({"stays": number, f"gone {number}": 0})["stays"]
    assert len(told.split()) == MOST_POINTS
    assert len(recent._seen) <= 2 + FORGOTTEN_SECONDS / EVERY_SECONDS
    now += FORGOTTEN_SECONDS + 1
    assert recent.note({"stays": 1}) == {"stays": ""}


@pytest.mark.django_db
def test_a_page_that_opens_is_told_of_its_rows_what_others_were_shown(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(live_rows, "_recent", Recent(clock=lambda: now))
    add_connection("c1", messages_in=3, messages_out=4)

    def before() -> list[str]:
        page = admin_client.get("/admin/proxy/live/").content.decode()
        return re.findall(r'data-before="([^"]*)"', page)

    assert before() == []
    now = EVERY_SECONDS
    Connection.objects.update(messages_in=20)
    assert before() == ["5.0:7"]
    assert before() == ["5.0:7 0.0:24"]
