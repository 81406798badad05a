"""The buttons of the pools page: what a drain will do is said first, and asked for a reason."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from proxy.admin.asking import ReasonForm
from proxy.models import PoolMember
from proxy.tables.member_draining import MOVE_SECONDS, Drain, drain_member, find_member, others_of
from proxy.tables.pools_overview import MemberView, PoolView

_TITLES = {Drain.DRAIN: "Drain a member", Drain.MOVE: "Move links", Drain.UNDRAIN: "Bring back a member"}


class DrainButtons(admin.ModelAdmin):  # type: ignore[type-arg]
    """Drains members and brings them back; needs `proxy.drain_poolmember`."""

    def has_drain_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("proxy.drain_poolmember"))

    def press(self, request: HttpRequest) -> HttpResponse:
        """Do what a button of the page says, or ask first."""
        if not self.has_drain_permission(request):
            raise PermissionDenied
        asked, back = request.POST.get("action", ""), HttpResponseRedirect(request.get_full_path())
        if asked not in set(Drain):
            return back
        action = Drain(asked)
        found = find_member(request.POST.get("pool", ""), request.POST.get("url", ""))
        if found is None:
            self.message_user(request, "There is no such member any more.", messages.WARNING)
            return back
        form = ReasonForm(request.POST if "confirmed" in request.POST else None)
        if not form.is_valid():
            context = self._confirmation(request, *found, action=action) | {"form": form}
            return TemplateResponse(request, "admin/proxy/poolmember/drain_confirmation.html", context)
        self._set(request, *found, action=action, reason=form.cleaned_data["reason"])
        return back

    def _confirmation(
        self, request: HttpRequest, pool: PoolView, member: MemberView, *, action: Drain
    ) -> dict[str, Any]:
        return {
            **self.admin_site.each_context(request),
            "title": _TITLES[action],
            "opts": self.opts,
            "media": self.media,
            "pool": pool,
            "member": member,
            "others": others_of(pool, member),
            "action": action.value,
            "move_seconds": MOVE_SECONDS,
            "cancel_url": request.get_full_path(),
        }

    def _set(
        self, request: HttpRequest, pool: PoolView, member: MemberView, *, action: Drain, reason: str
    ) -> None:
        try:
            said = drain_member(member, pool.name, action, reason=reason, by=request.user)
        except PoolMember.DoesNotExist:
            self.message_user(request, "There is no such member any more.", messages.WARNING)
        else:
            self.message_user(request, said or f"{member.url} gets new links already.")
