"""Users and groups: Django's own pages, with requests checked."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User

from proxy.admin.pages import CheckedAdmin

admin.site.unregister([User, Group])


@admin.register(User)
class StaffAdmin(CheckedAdmin, UserAdmin):  # type: ignore[type-arg]
    """Who may log in here, and what they may do."""


@admin.register(Group)
class StaffGroupAdmin(CheckedAdmin, GroupAdmin):
    """Permissions that several staff share."""
