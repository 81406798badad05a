"""The groups that migrations make, and what the document says of them."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.db import connection

from proxy.admin.tests.groups import GROUPS, play_migrations
from proxy.tables.staff_groups import give_permission

pytestmark = pytest.mark.django_db
ROW = re.compile(r"^\| (?P<to>[^|]*) \| (?P<need>[^|]*) \|(?P<who>(?: [✓ ]?\s*\|){3})$", re.MULTILINE)


@pytest.fixture(autouse=True)
def no_groups() -> None:
    Group.objects.all().delete()


def may(group: str) -> set[str]:
    rows = Permission.objects.filter(group__name=group).values_list("content_type__app_label", "codename")
    return {".".join(row) for row in rows}


def test_the_document_says_what_each_group_may() -> None:
    play_migrations()
    said: dict[str, set[str]] = {name: set() for name in GROUPS}
    for row in ROW.finditer((settings.BASE_DIR / "docs" / "admin.md").read_text()):
        marks = row["who"].split("|")[:3]
        for name, mark in zip(GROUPS, marks, strict=True):
            said[name] |= set(re.findall(r"`(\w+\.\w+)`", row["need"])) if mark.strip() else set()

    assert said == {name: may(name) for name in GROUPS}
    assert may("Viewers") < may("Support") < may("Operators")


def test_a_group_that_is_there_is_left_as_it_is() -> None:
    Group.objects.create(name="Support")
    play_migrations()
    assert may("Support") == set()
    assert may("Operators")

    Group.objects.get(name="Operators").permissions.clear()
    play_migrations()
    assert may("Operators") == set()


def test_a_later_permission_goes_to_the_groups_that_have_the_one_beside_it() -> None:
    play_migrations()
    Group.objects.get(name="Support").permissions.clear()
    more = give_permission("proxy.list_by_token", to=["Support", "Operators"], who_have="proxy.view_block")
    more.code(apps, SimpleNamespace(connection=connection))  # type: ignore[arg-type]

    assert [name for name in GROUPS if "proxy.list_by_token" in may(name)] == ["Operators"]


def test_a_migration_that_gives_what_no_model_declares_fails() -> None:
    play_migrations()
    unknown = give_permission("proxy.no_such", to=["Support"], who_have="proxy.view_block")
    with pytest.raises(Permission.DoesNotExist):
        unknown.code(apps, SimpleNamespace(connection=connection))  # type: ignore[arg-type]
