"""The groups of staff as migrations make them, and somebody of each."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from types import SimpleNamespace

from django.apps import apps
from django.contrib.auth.models import Group, User
from django.db import connection
from django.db.migrations import RunPython
from django.test import Client

GROUPS = ("Viewers", "Support", "Operators")


def play_migrations() -> None:
    """What the migrations of groups do, again, those of products last: other tests leave tables empty."""
    for operation in (*_of_groups("proxy", "0020"), *_of_groups("experience", "0004")):
        operation.code(apps, SimpleNamespace(connection=connection))  # type: ignore[arg-type]


def _of_groups(app: str, first: str) -> Iterator[RunPython]:
    package = import_module(f"{app}.migrations")
    for module in sorted(each.name for each in iter_modules(package.__path__) if each.name >= first):
        for operation in import_module(f"{package.__name__}.{module}").Migration.operations:
            if isinstance(operation, RunPython):
                yield operation


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
