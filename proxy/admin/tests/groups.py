"""The groups of staff as migrations make them, and somebody of each."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from types import SimpleNamespace

from django.apps import apps
from django.contrib.auth.models import Group, User
from django.db import connection
from django.db.migrations import RunPython
from django.test import Client

from proxy import migrations

GROUPS = ("Viewers", "Support", "Operators")


def play_migrations() -> None:
    """What the migrations of groups do, again: other tests leave tables empty."""
    for module in sorted(each.name for each in iter_modules(migrations.__path__) if each.name >= "0020"):
        for operation in import_module(f"{migrations.__name__}.{module}").Migration.operations:
            if isinstance(operation, RunPython):
                operation.code(apps, SimpleNamespace(connection=connection))  # type: ignore[arg-type]


def log_in_as(role: str) -> Client:
    """A new client: of nobody, of staff with no permission, of one of a group, or of a superuser."""
    client = Client()
    if role == "nobody":
        return client
    user, _ = User.objects.get_or_create(
        username=role, defaults={"is_staff": True, "is_superuser": role == "superuser"}
    )
    if role in GROUPS:
        user.groups.set([Group.objects.get(name=role)])
    client.force_login(user)
    return client
