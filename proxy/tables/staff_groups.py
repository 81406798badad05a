"""Groups of staff that a migration makes, once: from then on they are the staff's to change.

Django makes permissions after all migrations; a migration that gives some has them made first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from django.apps import apps as every_app
from django.contrib.auth.management import create_permissions
from django.db.migrations import RunPython


def make_groups(may: Mapping[str, Iterable[str]]) -> RunPython:
    """An operation that makes groups with permissions, such as `proxy.view_node`. One that is there already
    is somebody's own, and left as it is."""
    return RunPython(partial(_make, may), RunPython.noop)


def give_permission(permission: str, *, to: Iterable[str], who_have: str) -> RunPython:
    """An operation that gives a permission of a later migration to those of the groups that have another
    one still: from a group of that name that may do little, or that staff took it from, nothing new comes."""
    return RunPython(partial(_give, permission, to, who_have), RunPython.noop)


def _make(may: Mapping[str, Iterable[str]], apps: Any, schema_editor: Any) -> None:
    using = schema_editor.connection.alias
    groups = apps.get_model("auth", "Group").objects.using(using)
    for name, permissions in may.items():
        group, is_new = groups.get_or_create(name=name)
        if is_new:
            group.permissions.set([_permission(each, apps, using) for each in permissions])


def _give(permission: str, to: Iterable[str], who_have: str, apps: Any, schema_editor: Any) -> None:
    using = schema_editor.connection.alias
    groups = apps.get_model("auth", "Group").objects.using(using)
    for group in groups.filter(name__in=to, permissions=_permission(who_have, apps, using)):
        group.permissions.add(_permission(permission, apps, using))


def _permission(named: str, apps: Any, using: str) -> Any:
    """Raises DoesNotExist for one that no model declares."""
    label, codename = named.split(".")
    create_permissions(every_app.get_app_config(label), verbosity=0, using=using, apps=apps)
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    return permissions.get(content_type__app_label=label, codename=codename)
