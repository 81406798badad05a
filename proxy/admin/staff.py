"""Users and groups: Django's own pages, with requests checked."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest

from proxy.admin.pages import CheckedAdmin

admin.site.unregister([User, Group])


@admin.register(User)
class StaffAdmin(CheckedAdmin, UserAdmin):  # type: ignore[type-arg]
    """Who may log in here, and what they may do."""

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """As Django's; who has done something is not deleted, since the log of it would go, too."""
        shown, counted, needed, protected = super().get_deleted_objects(objs, request)
        did = User.objects.filter(logentry__in=LogEntry.objects.filter(user__in=objs)).distinct()
        kept = [f"What {user} did in admin: make the user inactive instead" for user in did]
        return shown, counted, needed, [*protected, *kept]


@admin.register(Group)
class StaffGroupAdmin(CheckedAdmin, GroupAdmin):
    """Permissions that several staff share."""
