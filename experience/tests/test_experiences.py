"""Experiences as rows: what nodes are told of them, and the pages where staff close and bound them."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client

from experience import rules
from experience.models import Experience
from proxy.admin import live_links
from proxy.admin.pages import BoundedPaginator
from proxy.core.topic_rules import TopicRule
from proxy.tests.rows import add_connection

pytestmark = pytest.mark.django_db
LIST = "/admin/experience/experience/"
MILL = "experience:old-mill"
SURE = {"confirmed": "yes", "reason": "a new release"}


def staff(*may: str) -> Client:
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=[f"{each}_experience" for each in may]))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def mill() -> Experience:
    return Experience.objects.create(slug="old-mill", title="The Old Mill")


@pytest.fixture
def live() -> None:
    for name in ("a", "b", "c"):
        add_connection(name, topic=MILL)
    add_connection("d", topic="experience:old-mine")
    add_connection("e", topic=MILL, closed=True)


def press(client: Client, action: str, *rows: Experience, **form: str) -> str:
    chosen = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
    return client.post(LIST, chosen | form, follow=True).content.decode()


def told(flag: int = CHANGE) -> list[tuple[str, str]]:
    rows = LogEntry.objects.filter(action_flag=flag).order_by("pk")
    return [(each.object_repr, each.get_change_message()) for each in rows]


def test_a_row_that_was_written_past_the_forms_opens_no_other(caplog: pytest.LogCaptureFixture) -> None:
    Experience.objects.create(slug="odd", capacity=0)
    Experience.objects.create(slug="old-mill", enabled=False)
    assert [rule.topic for rule in rules.rules()] == [MILL]
    assert "an experience's row is no rule" in caplog.text


def test_nodes_are_told_of_rows_that_say_anything_in_one_query(django_assert_num_queries: Any) -> None:
    Experience.objects.create(slug="open")
    Experience.objects.create(slug="a", enabled=False, maintenance_message="Back at nine.")
    Experience.objects.create(slug="b", capacity=3, ends_links=True)
    Experience.objects.create(slug="c", enabled=False, ends_links=True)
    with django_assert_num_queries(1):
        found = sorted(rules.rules(), key=lambda rule: rule.topic)
    assert found == [
        TopicRule(topic="experience:a", closed="Back at nine."),
        TopicRule(topic="experience:b", most_links=3),
        TopicRule(topic="experience:c", closed="", ends_links=True),
    ]


def test_nodes_hear_of_a_row_that_is_saved_or_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    announced = Mock()
    monkeypatch.setattr("proxy.cluster.rules.announce_topic_rules", announced)
    row = Experience.objects.create(slug="old-mill")
    assert announced.call_count == 1
    row.delete()
    assert announced.call_count == 2


def test_the_list_says_how_many_are_live_in_one_query_for_all_rows(
    admin_client: Client, mill: Experience, live: None, django_assert_max_num_queries: Any
) -> None:
    for number in range(20):
        Experience.objects.create(slug=f"other-{number}")
    with django_assert_max_num_queries(10):
        page = admin_client.get(LIST).content.decode()
    assert '?live=yes&amp;topic=experience%3Aold-mill">3</a>' in page
    assert '?live=yes&amp;topic=experience%3Aother-1">0</a>' in page


def test_live_links_are_counted_up_to_a_bound_and_it_says_so(
    admin_client: Client, mill: Experience, live: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedPaginator, "MOST_ROWS", 2)
    assert ">2+</a>" in admin_client.get(LIST).content.decode()
    monkeypatch.setattr(BoundedPaginator, "MOST_ROWS", 10)
    monkeypatch.setattr(live_links, "MOST_LOOKED_AT", 2)
    assert "Live now: 2+ live links." in press(admin_client, "disable", mill)


def test_disabling_asks_first_with_figures_and_for_a_reason(mill: Experience, live: None) -> None:
    client = staff("view", "enable")
    for form in ({}, SURE | {"reason": "", "live_links": "close"}, SURE):
        page = press(client, "disable", mill, **form)
        assert "Live now: 3 live links." in page
        assert "No maintenance message is set" in page
    assert "This field is required." in page
    mill.refresh_from_db()
    assert mill.enabled
    assert told() == []


def test_each_switch_is_one_entry_with_reason_and_count(mill: Experience, live: None) -> None:
    mine = Experience.objects.create(slug="old-mine", maintenance_message="Back at nine.")
    client = staff("view", "enable")
    assert "Clients are told: “Back at nine.”." in press(client, "disable", mill, mine)
    press(client, "disable", mill, mine, live_links="close", **SURE)
    assert set(Experience.objects.values_list("enabled", "ends_links")) == {(False, True)}
    press(client, "disable", mine, live_links="leave", **SURE)
    assert "Clients come into old-mill, old-mine again" in press(client, "enable", mill, mine)
    press(client, "enable", mill, mine, **SURE)
    assert set(Experience.objects.values_list("enabled", "ends_links")) == {(True, False)}
    assert "None of them is disabled." in press(client, "enable", mill, **SURE)
    assert told() == [
        (
            "2 experiences",
            "Disabled, with 4 live links, which are closed: a new release (old-mill, old-mine)",
        ),
        ("old-mine", "Disabled, with 1 live link, which stay: a new release"),
        ("2 experiences", "Enabled: a new release (old-mill, old-mine)"),
    ]


def test_who_may_not_switch_does_not_by_the_form_either(mill: Experience) -> None:
    client = staff("view", "change", "add")
    press(client, "disable", mill, live_links="close", **SURE)
    form = {"title": "Mill", "capacity": "50", "reason": "a test", "enabled": "", "slug": "other"}
    assert client.post(f"{LIST}{mill.pk}/change/", form).status_code == 302
    mill.refresh_from_db()
    assert (mill.enabled, mill.slug, mill.title, mill.capacity) == (True, "old-mill", "Mill", 50)
    assert told() == [("old-mill", "Changed: room for 50: a test")]


def test_a_row_is_added_and_changed_with_a_reason_and_what_clients_can_be_told(admin_client: Client) -> None:
    add = f"{LIST}add/"
    said = {"slug": "old-mill", "maintenance_message": "Back at nine.", "capacity": "20"}
    assert "This field is required." in admin_client.post(add, said).content.decode()
    for bad in ({"capacity": "0"}, {"capacity": "1000001"}, {"slug": " mill"}, {"slug": "x" * 118}):
        page = admin_client.post(add, said | {"reason": "a test"} | bad).content.decode()
        assert "errorlist" in page, bad
    assert admin_client.post(add, said | {"reason": "a test"}).status_code == 302
    assert told(ADDITION) == [("old-mill", "Added: room for 20: a test")]
    twice = admin_client.post(add, said | {"reason": "a test"}).content.decode()
    assert "already exists" in twice


def test_deleting_a_row_says_that_it_opens_what_is_disabled(mill: Experience, live: None) -> None:
    client = staff("view", "delete")
    mine = Experience.objects.create(slug="old-mine", enabled=False)
    asked = press(client, "delete_selected", mill, mine)
    assert "This opens again what is disabled: old-mine." in asked
    assert "Nobody is disconnected: 4 live links." in asked
    page = client.get(f"{LIST}{mine.pk}/delete/").content.decode()
    assert "This opens again what is disabled: old-mine." in page
    assert Experience.objects.count() == 2
    client.post(f"{LIST}{mine.pk}/delete/", SURE)
    press(client, "delete_selected", mill, **SURE)
    assert not Experience.objects.exists()
    assert told(DELETION) == [("old-mine", "Deleted: a new release"), ("old-mill", "Deleted: a new release")]


def test_who_may_only_look_sees_the_row_and_no_button(mill: Experience) -> None:
    client = staff("view")
    page = client.get(f"{LIST}{mill.pk}/change/").content.decode()
    assert "The Old Mill" in page
    assert "Disable…" not in page
    assert "reason" not in page
