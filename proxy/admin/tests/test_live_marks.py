"""What the charts of the Live page mark: nodes, drains, mass kicks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from proxy.models import Kick, KickReport, PoolMember
from proxy.tables.marks import MASS
from proxy.tests.rows import add_node

MARKS = "/admin/proxy/live/marks/"
URL = "ws://one:9000"

pytestmark = pytest.mark.django_db


def marked(client: Client, span: str = "15m") -> list[tuple[str, str]]:
    answer = client.get(MARKS, {"span": span})
    assert answer.status_code == 200
    return [(mark["kind"], mark["words"]) for mark in answer.json()["marks"]]


def add_kick(kick_id: str, *, links: int, **values: Any) -> None:
    Kick.objects.create(id=kick_id, created_at=timezone.now(), reason="restart, please", **values)
    for node, ended in (("n1", links - 1), ("n2", 1)):
        KickReport.objects.create(kick_id=kick_id, node_id=node, links=ended)


def test_nodes_that_started_stopped_or_were_lost_are_marked_when_they_did(admin_client: Client) -> None:
    now = timezone.now()
    add_node("lost", silent_seconds=300, stopped_at=now - timedelta(seconds=280))
    add_node("stops", silent_seconds=200, stopped_at=now - timedelta(seconds=200))
    add_node("old", silent_seconds=3000)
    assert marked(admin_client) == [
        ("node", "node box:7 started"),
        ("node", "node box:7 was lost"),
        ("node", "node box:7 started"),
        ("node", "node box:7 stopped"),
    ]
    assert len(marked(admin_client, "1h")) == 5


def test_members_that_staff_drain_and_bring_back_are_marked_and_other_changes_are_not(
    admin_client: Client,
) -> None:
    PoolMember.objects.create(pool="studio", url=URL)
    page = "/admin/proxy/poolmember/"
    drain = {"pool": "studio", "url": URL, "action": "drain", "confirmed": "yes", "reason": "a new release"}
    assert admin_client.post(page, drain).status_code == 302
    assert admin_client.post(page, {**drain, "action": "undrain", "reason": "it is done"}).status_code == 302
    row = PoolMember.objects.get()
    changed = {"pool": "studio", "url": URL, "weight": 3}
    assert admin_client.post(f"{page}{row.pk}/change/", changed).status_code == 302
    assert marked(admin_client) == [
        ("drain", f"Draining {URL}: it gets no new links. a new release (admin)"),
        ("drain", f"Brought back {URL}. it is done (admin)"),
    ]


def test_only_kicks_of_many_are_marked(admin_client: Client) -> None:
    add_kick("few", links=MASS - 1, connection_ids=["c"])
    add_kick("many", links=MASS, user_ids=["u"])
    add_kick("all", links=1, everyone=True)
    assert sorted(marked(admin_client)) == [
        ("kick", f"{MASS} links kicked: restart, please"),
        ("kick", "everybody kicked: restart, please"),
    ]


def test_marks_are_for_who_may_see_what_they_tell_of(client: Client) -> None:
    add_node("n1")
    add_kick("all", links=1, everyone=True)
    viewer = User.objects.create_user("viewer", password="v", is_staff=True)
    client.force_login(viewer)
    assert client.get(MARKS).status_code == 403
    viewer.user_permissions.add(Permission.objects.get(codename="view_connection"))
    assert [kind for kind, _ in marked(client)] == ["kick"]
    viewer.user_permissions.add(Permission.objects.get(codename="view_node"))
    assert {kind for kind, _ in marked(client)} == {"node", "kick"}


def test_another_span_is_a_400_and_eight_queries_find_all(
    admin_client: Client, django_assert_max_num_queries: Any
) -> None:
    assert admin_client.get(MARKS, {"span": "1y"}).status_code == 400
    marked(admin_client)
    with django_assert_max_num_queries(8):
        marked(admin_client, "7d")
