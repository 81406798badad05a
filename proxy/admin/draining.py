"""The buttons of the pools page: what a drain will do is said first, and asked for a reason."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from proxy.admin.asking import ReasonForm
from proxy.models import PoolMember
from proxy.tables.pools_overview import MemberView, PoolView, pool_views, set_draining

MOVE_SECONDS = 30
_TITLES = {"drain": "Drain a member", "move": "Move links", "undrain": "Bring back a member"}
_DONE = {
    "drain": "Draining {}: it gets no new links.",
    "move": f"Draining {{}}: its links end over the next {MOVE_SECONDS} seconds.",
    "undrain": "Brought back {}.",
}


class DrainButtons(admin.ModelAdmin):  # type: ignore[type-arg]
    """Drains members and brings them back; needs `proxy.drain_poolmember`."""

    def has_drain_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("proxy.drain_poolmember"))

    def press(self, request: HttpRequest) -> HttpResponse:
        """Do what a button of the page says, or ask first."""
        if not self.has_drain_permission(request):
            raise PermissionDenied
        action, back = request.POST.get("action", ""), HttpResponseRedirect(request.get_full_path())
        if action not in _DONE:
            return back
        found = _find(request.POST.get("pool", ""), request.POST.get("url", ""))
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
        self, request: HttpRequest, pool: PoolView, member: MemberView, *, action: str
    ) -> dict[str, Any]:
        return {
            **self.admin_site.each_context(request),
            "title": _TITLES[action],
            "opts": self.opts,
            "media": self.media,
            "pool": pool,
            "member": member,
            "others": sum(each.takes_new_links for each in pool.members if each is not member),
            "action": action,
            "move_seconds": MOVE_SECONDS,
            "cancel_url": request.get_full_path(),
        }

    def _set(
        self, request: HttpRequest, pool: PoolView, member: MemberView, *, action: str, reason: str
    ) -> None:
        seconds = MOVE_SECONDS if action == "move" else None
        try:
            row = set_draining(pool.name, member.url, draining=action != "undrain", move_seconds=seconds)
        except PoolMember.DoesNotExist:
            self.message_user(request, "There is no such member any more.", messages.WARNING)
            return
        said = _DONE[action].format(member.url)
        self.log_change(request, row, f"{said} {reason}")
        self.message_user(request, said)


def _find(pool_name: str, url: str) -> tuple[PoolView, MemberView] | None:
    pools = (pool for pool in pool_views() if pool.name == pool_name and pool.editable)
    return next(((pool, member) for pool in pools for member in pool.members if member.url == url), None)
