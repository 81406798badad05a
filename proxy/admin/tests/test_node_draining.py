"""A node is drained from its page: what comes of it is said first, and the node's row tells it."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from proxy.admin.tests.test_admin import log_in
from proxy.models import Node
from proxy.tests.rows import add_connection, add_node

pytestmark = pytest.mark.django_db
PAGE = "/admin/proxy/node/n1/change/"
DRAIN = "/admin/proxy/node/n1/drain/"
SURE = {"confirmed": "yes", "reason": "a new kernel"}


@pytest.fixture
def staff(client: Client) -> Client:
    add_node("n1")
    for name in ("a", "b"):
        add_connection(name)
    return log_in(client, "view_node", "drain_node")


def told() -> bool:
    return Node.objects.get(pk="n1").told_to_drain_at is not None


def test_it_is_asked_first_with_figures_and_a_reason(staff: Client) -> None:
    assert DRAIN in staff.get(PAGE).content.decode()
    assert "No other node takes new links" in staff.get(DRAIN).content.decode()
    add_node("n2")
    add_node("n3", draining=True)
    asked = staff.post(DRAIN, SURE | {"reason": ""}).content.decode()
    assert "2 live connections of its own, closed with 1001 over 30 seconds" in asked
    assert "1 other node takes new links." in asked
    assert "This field is required." in asked
    assert f'href="{PAGE}" class="closelink"' in asked
    assert not told()


def test_it_is_told_once_and_noted_once(staff: Client) -> None:
    assert "it begins within 5 seconds" in staff.post(DRAIN, SURE, follow=True).content.decode()
    assert told()
    page = staff.post(DRAIN, SURE, follow=True).content.decode()
    assert "It was told before." in page
    assert "told to drain" in page
    assert DRAIN not in page
    entry = LogEntry.objects.get()
    said = "Told to drain, with 2 live connections: a new kernel"
    assert (entry.object_id, entry.object_repr, entry.change_message) == ("n1", "box:7", said)


def test_a_node_that_does_not_run_is_not_drained(staff: Client) -> None:
    Node.objects.all().delete()
    add_node("n1", silent_seconds=20)
    assert DRAIN not in staff.get(PAGE).content.decode()
    assert "does not run any more" in staff.post(DRAIN, SURE, follow=True).content.decode()
    assert not told()
