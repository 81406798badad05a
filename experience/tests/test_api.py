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
CHANGE = "experience.change_experience"
DISABLE, CHANGES = "/api/experiences/disable", "/api/experiences/change"
MILL = {"slug": "old-mill", "reason": "a new release"}


def told(**values: Any) -> dict[str, Any]:
    row = {"slug": "old-mill", "title": "", "enabled": True, "ends_links": False}
    return {**row, "maintenance_message": "", "capacity": None, **values}


def test_a_program_closes_an_experience_that_has_no_row_yet_and_opens_it_again() -> None:
    by, topic = key(others=(VIEW, ENABLE)), "experience:old-mill"
    add_connection("a", topic=topic)
    asked = {**MILL, "maintenance_message": "Back at nine.", "close_links": True}
    closed = told(enabled=False, ends_links=True, maintenance_message="Back at nine.")
    assert post(asked, by=by, path=DISABLE) == (
        200,
        {"experience": closed, "links": 1, "is_bounded": False, "done": True},
    )
    assert [*rules()] == [TopicRule(topic=topic, closed="Back at nine.", ends_links=True)]
    assert get("/api/experiences", by=by) == (200, {"experiences": [closed], "is_cut": False})

    again = told(maintenance_message="Back at nine.")
    assert post(MILL, by=by, path="/api/experiences/enable") == (
        200,
        {"experience": again, "links": 1, "is_bounded": False, "done": True},
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
    assert answer == (200, {"experience": told(), "links": 1, "is_bounded": False, "done": False})
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


def test_a_program_bounds_an_experience_and_what_it_leaves_out_stays() -> None:
    by = key(others=(CHANGE,))
    add_connection("a", topic="experience:old-mill")
    named = {**MILL, "title": "The old mill", "capacity": 500}
    for asked, row in (
        (named, told(title="The old mill", capacity=500)),
        ({**MILL, "maintenance_message": "Back soon."}, told(title="The old mill", capacity=500,
         maintenance_message="Back soon.")),
        ({**MILL, "capacity": None, "title": ""}, told(maintenance_message="Back soon.")),
    ):  # fmt: skip
        assert post(asked, by=by, path=CHANGES) == (
            200,
            {"experience": row, "links": 1, "is_bounded": False, "done": True},
        )
        capacities = [each.most_links for each in rules() if each.topic == "experience:old-mill"]
        assert capacities == ([500] if row["capacity"] else [])
    assert [each.said for each in ProgramDeed.objects.order_by("pk")] == [
        f"Changed {what}: a new release"
        for what in ("title The old mill, capacity 500", "maintenance message Back soon.",
                     "title none, capacity none")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "say what is to change"),
        ({"capacity": 0}, "capacity: Ensure this value is greater than or equal to 1."),
        ({"capacity": "many"}, "capacity: A valid integer is required."),
        ({"title": "x" * 129}, "title"),
        ({"title": None}, "title"),
        ({"slug": "old mill ", "title": "x"}, "slug"),
        ({"enabled": False}, "no such field: enabled"),
    ],
)
def test_a_change_that_is_none_is_said_so_and_makes_no_row(changes: dict[str, Any], says: str) -> None:
    status, answer = post({**MILL, **changes}, by=key(others=(CHANGE,)), path=CHANGES)
    assert (status, answer["code"]) == (400, "bad_request")
    assert says in answer["message"]
    assert not Experience.objects.exists()


@pytest.mark.parametrize(
    ("path", "right", "status"),
    [(DISABLE, ENABLE, 200), (DISABLE, CHANGE, 403), (DISABLE, VIEW, 403), (DISABLE, "", 403),
     (CHANGES, CHANGE, 200), (CHANGES, ENABLE, 403)],
)  # fmt: skip
def test_it_needs_that_very_right_by_a_key_a_token_or_a_session(path: str, right: str, status: int) -> None:
    asked = MILL | ({"capacity": 3} if path == CHANGES else {})
    assert post(asked, by=key(others=(right,) if right else ()), path=path)[0] == status
    codename = right.removeprefix("experience.")
    ada = User.objects.create_user("ada")
    ada.user_permissions.set(Permission.objects.filter(codename=f"{codename}_by_token"))
    assert post(asked, by=token("ada"), path=path)[0] == status
    bob, client = User.objects.create_user("bob", is_staff=True), Client()
    bob.user_permissions.set(Permission.objects.filter(codename=codename))
    client.force_login(bob)
    assert client.post(path, asked, content_type="application/json").status_code == status


def test_rights_of_other_tables_open_nothing_here() -> None:
    assert get("/api/experiences", by=may("view_connection", "view_node"))[0] == 403
    assert get("/api/experiences", by="")[0] == 401
