"""The pools page: each member's health, links and last error; draining; members added, weighted, removed."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from proxy import registry
from proxy.admin.draining import DrainButtons
from proxy.admin.pages import CheckedAdmin
from proxy.models import PoolMember
from proxy.tables.pools_overview import adopt, editable_pools, pool_views

_SUCH_AS = "Such as ws://service-4:9000 or, with a path, ws://service-4:9000/ws."


def _behind(pool: str) -> str:
    """What a member of that pool gets behind its address without being told."""
    path = registry.upstream(pool).path
    return f"What does not end with {path} gets that behind it ({pool})." if path else ""


class MemberForm(forms.ModelForm):  # type: ignore[type-arg]
    """A member of one of the pools that staff may change; it stays in its pool."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = editable_pools() if self.instance.pk is None else [self.instance.pool]
        if "url" in self.fields:  # not for who may only look
            self.fields["url"].help_text = " ".join([_SUCH_AS, *map(_behind, names)]).strip()
        self.fields["pool"] = forms.ChoiceField(
            choices=[(name, name) for name in names], disabled=self.instance.pk is not None
        )


@admin.register(PoolMember)
class PoolMemberAdmin(DrainButtons, CheckedAdmin):
    """Its list is the page of all pools, members from settings included."""

    form = MemberForm
    fields = ["pool", "url", "weight", "max_connections", "draining", "move_seconds"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """The buttons of the list drain: they say what it does, ask for a reason, and have a permission."""
        return ("draining", "move_seconds")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            return self.press(request)
        context = {
            **self.admin_site.each_context(request),
            "title": "Pools",
            "opts": self.opts,
            "pools": pool_views(),
            "media": self.media,
            "can_add": self.has_add_permission(request),
            "can_change": self.has_change_permission(request),
            "can_drain": self.has_drain_permission(request),
        }
        return TemplateResponse(request, "admin/proxy/poolmember/pools.html", context)

    def save_model(self, request: HttpRequest, obj: PoolMember, form: Any, change: bool) -> None:
        if not change:
            adopt(obj.pool, but=obj.url)  # or the first row would push out all that settings declare
        super().save_model(request, obj, form, change)
