"""Users and groups: Django's own pages, with requests checked."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import DateTimeField
from django.forms.widgets import Script
from django.http import HttpRequest
from django.utils.text import capfirst

from proxy.admin.pages import CheckedAdmin, name_date_and_time

admin.site.unregister([User, Group])
_TOOLTIPS = Script("proxy/tooltips.js", type="module")


@admin.register(User)
class StaffAdmin(CheckedAdmin, UserAdmin):  # type: ignore[type-arg]
    """Who may log in here, and what they may do."""

    class Media:
        js = [_TOOLTIPS]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """As Django's; the boxes of a moment have names."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and isinstance(db_field, DateTimeField):
            name_date_and_time(field, capfirst(str(db_field.verbose_name)))
        return field

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """As Django's; who has done something is not deleted, since the log of it would go, too."""
        shown, counted, needed, protected = super().get_deleted_objects(objs, request)
        did = User.objects.filter(logentry__in=LogEntry.objects.filter(user__in=objs)).distinct()
        kept = [f"What {user} did in admin: make the user inactive instead" for user in did]
        return shown, counted, needed, [*protected, *kept]


@admin.register(Group)
class StaffGroupAdmin(CheckedAdmin, GroupAdmin):
    """Permissions that several staff share."""

    class Media:
        js = [_TOOLTIPS]
