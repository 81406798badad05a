"""Experiences over HTTP: who may see, disable and enable them, and what the audit has of it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from experience.models import Experience
from experience.rules import rules
from proxy.core.topic_rules import TopicRule
from proxy.models import ProgramDeed
from proxy.rest.tests.calling import get, key, may, post, token
from proxy.tests.rows import add_connection

pytestmark = pytest.mark.django_db
VIEW, ENABLE = "experience.view_experience", "experience.enable_experience"
DISABLE = "/api/experiences/disable"
MILL = {"slug": "old-mill", "reason": "a new release"}


def told(**values: Any) -> dict[str, Any]:
    row = {"slug": "old-mill", "title": "", "enabled": True, "ends_links": False}
    return {**row, "maintenance_message": "", "capacity": None, **values}


def test_a_program_closes_an_experience_that_has_no_row_yet_and_opens_it_again() -> None:
    by, topic = key(others=(VIEW, ENABLE)), "experience:old-mill"
    add_connection("a", topic=topic)
    asked = {**MILL, "maintenance_message": "Back at nine.", "close_links": True}
    closed = told(enabled=False, ends_links=True, maintenance_message="Back at nine.")
    assert post(asked, by=by, path=DISABLE) == (200, {"experience": closed, "links": 1, "done": True})
    assert [*rules()] == [TopicRule(topic=topic, closed="Back at nine.", ends_links=True)]
    assert get("/api/experiences", by=by) == (200, {"experiences": [closed], "is_cut": False})

    again = told(maintenance_message="Back at nine.")
    assert post(MILL, by=by, path="/api/experiences/enable") == (
        200,
        {"experience": again, "links": 1, "done": True},
    )
    assert [*rules()] == []
    said = [(each.kind, each.about, each.said, each.reason) for each in ProgramDeed.objects.order_by("pk")]
    assert said == [
        ("experience.experience", "old-mill", f"{did}: a new release", "a new release")
        for did in ("Disabled, with 1 live link, which are closed", "Enabled")
    ]


def test_a_dry_run_says_whom_it_would_hit_and_does_nothing() -> None:
    add_connection("a", topic="experience:old-mill")
    by = key(others=(ENABLE,))
    answer = post({**MILL, "dry_run": True}, by=by, path=DISABLE)
    assert answer == (200, {"experience": told(), "links": 1, "done": False})
    assert not Experience.objects.exists()
    assert not ProgramDeed.objects.exists()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"reason": " "}, "reason"),
        ({"slug": " old-mill"}, "slug"),
        ({"slug": "x" * 118}, "slug"),
        ({"slug": ""}, "slug"),
        ({"maintenance_message": "x" * 501}, "maintenance_message"),
        ({"close_links": "perhaps"}, "close_links"),
        ({"capacity": 3}, "capacity"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_done(changes: dict[str, Any], word: str) -> None:
    status, answer = post({**MILL, **changes}, by=key(others=(ENABLE,)), path=DISABLE)
    assert (status, answer["code"]) == (400, "bad_request")
    assert word in answer["message"]
    assert not Experience.objects.exists()


def test_of_what_nobody_said_anything_there_is_nothing_to_enable() -> None:
    status, answer = post(MILL, by=key(others=(ENABLE,)), path="/api/experiences/enable")
    assert (status, answer["code"]) == (404, "not_found")


@pytest.mark.parametrize(("right", "status"), [(ENABLE, 200), (VIEW, 403), ("", 403)])
def test_it_needs_that_very_right_by_a_key_a_token_or_a_session(right: str, status: int) -> None:
    assert post(MILL, by=key(others=(right,) if right else ()), path=DISABLE)[0] == status
    codename = right.removeprefix("experience.")
    ada = User.objects.create_user("ada")
    ada.user_permissions.set(Permission.objects.filter(codename=f"{codename}_by_token"))
    assert post(MILL, by=token("ada"), path=DISABLE)[0] == status
    bob, client = User.objects.create_user("bob", is_staff=True), Client()
    bob.user_permissions.set(Permission.objects.filter(codename=codename))
    client.force_login(bob)
    assert client.post(DISABLE, MILL, content_type="application/json").status_code == status


def test_rights_of_other_tables_open_nothing_here() -> None:
    assert get("/api/experiences", by=may("view_connection", "view_node"))[0] == 403
    assert get("/api/experiences", by="")[0] == 401
