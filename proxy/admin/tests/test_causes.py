"""Why connections ended, in the list and on their pages."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.test import Client

from proxy.tests.rows import add_connection

LIST = "/admin/proxy/connection/"

pytestmark = pytest.mark.django_db


@pytest.fixture
def ended() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    for name, cause, reason in (
        ("a", "idle", "idle"),
        ("b", "token_expired", "token expired"),
        ("c", "", "old"),
    ):
        add_connection(name, user_id=f"user {name}", closed_at=at, close_reason=reason, cause=cause)


@pytest.mark.usefixtures("ended")
def test_connections_are_found_by_why_they_ended(admin_client: Client) -> None:
    page = admin_client.get(LIST, {"cause": "idle"}).content.decode()
    assert "user a" in page
    assert "user b" not in page
    assert "its token has expired</a>" in page, "another choice"
    assert 'title="nothing crossed it for too long (idle)"' in page


@pytest.mark.usefixtures("ended")
def test_the_page_of_one_says_why_in_words(admin_client: Client) -> None:
    assert "its token has expired" in admin_client.get(f"{LIST}b/change/").content.decode()


@pytest.mark.usefixtures("ended")
def test_one_that_an_earlier_release_has_ended_stands_as_it_was(admin_client: Client) -> None:
    assert 'title="closed (old)"' in admin_client.get(LIST).content.decode()


def test_a_cause_of_a_later_release_stands_for_itself(admin_client: Client) -> None:
    add_connection("d", closed_at=datetime(2026, 1, 1, tzinfo=UTC), cause="eclipse")
    assert "eclipse" in admin_client.get(f"{LIST}d/change/").content.decode()
