"""What is looked at in a browser is all that admin has."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.models import User
from django.test import RequestFactory
from django.urls import get_resolver, resolve

from config.tests.clients.every_page import CHOSEN, NO_PAGES, NOT_CHOSEN, PAGES
from proxy.admin.tests.test_permissions import named, paths


def test_every_page_of_admin_is_looked_at_or_said_to_be_none() -> None:
    there_are = {
        named(path).lstrip("^") for path in paths(get_resolver().url_patterns) if path.startswith("admin/")
    }
    looked_at = {named(resolve(page.partition("?")[0]).route) for page in PAGES}
    assert there_are - looked_at == set(NO_PAGES)
    assert not looked_at & set(NO_PAGES)


def test_every_action_of_a_list_is_looked_at_or_said_to_ask_nothing(rf: RequestFactory) -> None:
    request = rf.get("/admin/")
    request.user = User(is_superuser=True, is_active=True, is_staff=True)
    there_are = {
        (f"{model._meta.app_label}/{model._meta.model_name}", action)
        for model, pages in admin.site._registry.items()
        for action in pages.get_actions(request)
    }
    looked_at = {(each.at.removeprefix("/admin/").rstrip("/"), each.action) for each in CHOSEN}
    assert there_are - looked_at == set(NOT_CHOSEN)
    assert not looked_at & set(NOT_CHOSEN)
