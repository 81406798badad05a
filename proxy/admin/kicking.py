"""The kick actions: a page that says who will be hit and takes a reason, then the kick."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import ValidationError
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone

from proxy.admin.asking import selection_of
from proxy.admin.leading_back import came_from
from proxy.cluster.kicks import KickNotSent, kick
from proxy.core.closes import KICKED, MAX_REASON_BYTES
from proxy.models import Connection

MOST_SHOWN = 50
# The record follows what nodes say within about a second; so long the list waits for it.
RECORDED_SECONDS = 2.0
_POLL_SECONDS = 0.05


class KickForm(forms.Form):
    """The reason that the client is told in the close frame."""

    reason = forms.CharField(
        required=False,
        max_length=MAX_REASON_BYTES,
        help_text=f"The client is told this. At most {MAX_REASON_BYTES} bytes; empty: “{KICKED.reason}”.",
        widget=forms.TextInput(attrs={"class": "vTextField", "autofocus": True}),
    )

    def clean_reason(self) -> str:
        reason = " ".join(str(self.cleaned_data["reason"]).split())
        if len(reason.encode()) > MAX_REASON_BYTES:
            raise ValidationError(f"That is {len(reason.encode())} bytes, and {MAX_REASON_BYTES} fit.")
        return reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Who a confirmed kick will end: `arguments` are for `kick`, the rest is for the page."""

    arguments: dict[str, Iterable[str]]
    live: int
    closed: int
    links: list[Connection]
    users: list[Any]
    hidden: int

    @classmethod
    def of_links(cls, selected: QuerySet[Connection]) -> Target:
        """The live ones of the selected links; closed ones cannot be kicked."""
        live = selected.filter(closed_at=None)
        connection_ids = list(live.values_list("pk", flat=True))
        return cls(
            arguments={"connection_ids": connection_ids},
            live=len(connection_ids),
            closed=selected.exclude(closed_at=None).count(),
            links=list(live[:MOST_SHOWN]),
            users=[],
            hidden=max(0, len(connection_ids) - MOST_SHOWN),
        )

    @classmethod
    def of_users(cls, selected: QuerySet[Connection]) -> Target:
        """Every live link of the users of the selected connections; links without a user are left alone."""
        user_ids = sorted(set(selected.order_by().exclude(user_id="").values_list("user_id", flat=True)))
        live = Connection.objects.filter(closed_at=None, user_id__in=user_ids)
        counted = live.order_by().values("user_id").annotate(live=Count("pk")).order_by("-live", "user_id")
        users = list(counted)
        return cls(
            arguments={"user_ids": [user["user_id"] for user in users]},
            live=sum(user["live"] for user in users),
            closed=0,
            links=[],
            users=users[:MOST_SHOWN],
            hidden=max(0, len(users) - MOST_SHOWN),
        )


def _wait_until_recorded(
    asked_at: datetime, *, user_ids: Iterable[str] = (), connection_ids: Iterable[str] = ()
) -> None:
    """Until the record says that they have ended, a while at most: the list follows what staff are told."""
    whom = Q(user_id__in=user_ids) | Q(pk__in=connection_ids)
    live = Connection.objects.filter(whom, closed_at=None, opened_at__lte=asked_at)
    deadline = time.monotonic() + RECORDED_SECONDS
    while live.exists() and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


class KickActions(admin.ModelAdmin):  # type: ignore[type-arg]
    """Adds the two kick actions to the list of connections; both need `proxy.kick_connection`."""

    actions = ["kick_links", "kick_users"]

    def has_kick_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("proxy.kick_connection")

    @admin.action(description="Kick the selected connections…", permissions=["kick"])
    def kick_links(self, request: HttpRequest, selected: QuerySet[Connection]) -> HttpResponse | None:
        return self._confirm_or_kick(request, Target.of_links(selected), action="kick_links")

    @admin.action(description="Kick all connections of the selected users…", permissions=["kick"])
    def kick_users(self, request: HttpRequest, selected: QuerySet[Connection]) -> HttpResponse | None:
        return self._confirm_or_kick(request, Target.of_users(selected), action="kick_users")

    def _confirm_or_kick(self, request: HttpRequest, target: Target, *, action: str) -> HttpResponse | None:
        back = HttpResponseRedirect(came_from(request)) if came_from(request) else None
        if not target.live:
            self.message_user(request, "None of them is live: nobody to kick.", messages.WARNING)
            return back
        form = KickForm(request.POST if "confirmed" in request.POST else None)
        if form.is_valid():
            self._kick(request, target, reason=form.cleaned_data["reason"])
            return back
        context = self._confirmation(request, target, action=action) | {"form": form}
        return TemplateResponse(request, "admin/proxy/connection/kick_confirmation.html", context)

    def _confirmation(self, request: HttpRequest, target: Target, *, action: str) -> dict[str, Any]:
        return {
            **self.admin_site.each_context(request),
            "title": "Kick connections",
            "opts": self.opts,
            "media": self.media,
            "target": target,
            "action": action,
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
            "selected_ids": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "came_from": came_from(request),
            "cancel_url": came_from(request) or request.get_full_path(),
            "select_across": request.POST.get("select_across", "0"),
        }

    def _kick(self, request: HttpRequest, target: Target, *, reason: str) -> None:
        asked_at = timezone.now()
        try:
            whom, found_by = target.arguments, selection_of(request)
            kicked = kick(**whom, reason=reason, by=request.user, found_by=found_by)  # type: ignore[arg-type]
        except KickNotSent as error:
            self.message_user(request, f"Nobody may have been kicked: {error}.", messages.ERROR)
            return
        if kicked.ended:
            _wait_until_recorded(asked_at, **target.arguments)
        level = messages.WARNING if kicked.silent or kicked.ended is None else messages.SUCCESS
        self.message_user(request, str(kicked), level)
