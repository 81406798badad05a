"""Looking at what goes over one connection: a reason is asked for, then a page shows it for some minutes."""

from __future__ import annotations

import json
from typing import Any

from channels.layers import get_channel_layer
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, QuerySet
from django.forms import Media
from django.forms.widgets import Script
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html

from proxy.admin.asking import AsksFirst, Question, ReasonForm, answered
from proxy.admin.tap_lines import shown, unseen_of
from proxy.cluster.questions import LayerAway
from proxy.cluster.scrolls import BEGINNING
from proxy.cluster.store import Store
from proxy.cluster.tapping import NotTapped, begin_tap, go_on_sync, stop_tap
from proxy.cluster.taps import scroll_of
from proxy.core.human import one_line
from proxy.core.tapping import TAP_SECONDS
from proxy.models import Connection, Tap

PERMISSION = "proxy.tap_connection"
MEDIA = Media(css={"all": ["proxy/admin.css"]}, js=[Script("proxy/tap.js", type="module")])  # type: ignore[list-item]
MINUTES = f"{TAP_SECONDS / 60:g}"
_SAYS = (
    f"You see the messages of this connection, both ways, for at most {MINUTES} minutes.",
    "It ends when its page is closed. Neither the client nor the service notices it.",
    "Values whose names say that they are secrets are taken out; what is left may be private all the same.",
    "Other staff see that you look. It is logged, with your reason.",
)
_STOPS = "Stopping it ends that at once; who looks is told your name. It is logged, with your reason."
_NOT_HEARD = (
    "Its node has not answered. Nobody tells it to go on: it stops within half a minute by itself, "
    "or once Redis is back."
)
# Of what was seen, on a page without scripts: the last of it.
MOST_LINES = 500


class Tapping(AsksFirst):
    """Adds a tap to a connection's page, and says on all pages who looks at it."""

    def has_tap_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(PERMISSION))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        now = Tap.objects.filter(until__gt=timezone.now()).select_related("by")
        return super().get_queryset(request).prefetch_related(Prefetch("taps", queryset=now))

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<path:object_id>/tap/", view(self.ask_to_tap), name="proxy_connection_tap"),
            path("<path:object_id>/tap/<str:tap_id>/", view(self.tapped), name="proxy_connection_tapped"),
            path(
                "<path:object_id>/tap/<str:tap_id>/stop/", view(self.stop), name="proxy_connection_tap_stop"
            ),
            *super().get_urls(),
        ]

    def ask_to_tap(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The page that asks for a reason, and what comes of it."""
        self._check(request)
        link = Connection.objects.filter(pk=unquote(object_id), closed_at=None).first()
        if link is None:
            self.message_user(request, "This connection is not live any more.", messages.WARNING)
            return HttpResponseRedirect(reverse("admin:proxy_connection_changelist"))
        form, back = answered(ReasonForm, request), reverse("admin:proxy_connection_change", args=[link.pk])
        if not form.is_valid():
            return self.ask(request, _question(), form, back=back)
        try:
            tap = begin_tap(link, reason=form.cleaned_data["reason"], by=request.user)
        except (NotTapped, LayerAway) as error:
            self.message_user(request, f"Nobody looks on: {error}.", messages.ERROR)
            return HttpResponseRedirect(back)
        return HttpResponseRedirect(_page_of(tap))

    def tapped(self, request: HttpRequest, object_id: str, tap_id: str) -> HttpResponse:
        """What was seen, for whoever has begun it; scripts add what comes."""
        self._check(request)
        tap = self._tap(object_id, tap_id)
        if tap.by_id != request.user.pk:
            raise PermissionDenied
        seen = _seen(tap)
        if seen["ended"] is None and tap.until > timezone.now():
            go_on_sync(tap)
        context = {
            **self.admin_site.each_context(request),
            "title": "What goes over a connection",
            "opts": self.opts,
            "media": MEDIA,
            "tap": tap,
            "link": Connection.objects.filter(pk=tap.connection_id).first(),
            "events_url": reverse("tap-events", args=[tap.pk]),
            **seen,
        }
        return TemplateResponse(request, "admin/proxy/connection/tap.html", context)

    def stop(self, request: HttpRequest, object_id: str, tap_id: str) -> HttpResponse:
        """At once for whoever has begun it; whoever may look may stop others, too, and says why."""
        self._check(request)
        tap = self._tap(object_id, tap_id)
        back = reverse("admin:proxy_connection_change", args=[tap.connection_id])
        form = answered(ReasonForm, request)
        has_said_why, is_own = form.is_valid(), tap.by_id == request.user.pk and request.method == "POST"
        is_over = tap.until <= timezone.now()
        if not (has_said_why or is_own or is_over):
            return self.ask(request, _question_to_stop(tap), form, back=back)
        reason = form.cleaned_data["reason"] if has_said_why else ""
        if is_over or stop_tap(tap, by=request.user, reason=reason):
            self.message_user(request, "Nobody looks at this connection any more.", messages.SUCCESS)
        else:
            self.message_user(request, _NOT_HEARD, messages.WARNING)
        return HttpResponseRedirect(back)

    @admin.display(description="Looked at")
    def looked_at(self, connection: Connection) -> str:
        return taps_of(connection) or "by nobody"

    @admin.display(description="Looked at")
    def stoppable(self, connection: Connection) -> str:
        """The same, and the way to stop it."""
        tap = next(iter(connection.taps.all()), None)
        if tap is None:
            return self.looked_at(connection)
        stop = reverse("admin:proxy_connection_tap_stop", args=[tap.connection_id, tap.pk])
        return format_html('{} <a href="{}">Stop…</a>', _said_of(tap), stop)

    def _check(self, request: HttpRequest) -> None:
        if not (self.has_tap_permission(request) and self.has_view_permission(request)):
            raise PermissionDenied

    def _tap(self, object_id: str, tap_id: str) -> Tap:
        tap = Tap.objects.filter(pk=tap_id, connection_id=unquote(object_id)).first()
        if tap is None:
            raise Http404("There is no such tap, or not any more.")
        return tap


def taps_of(connection: Connection) -> str:
    """Who looks at it now, and until when; "" if nobody does."""
    tap = next(iter(connection.taps.all()), None)
    return "" if tap is None else _said_of(tap)


def _said_of(tap: Tap) -> str:
    said = '<span class="gateway-tapped">tapped by <bdi>{}</bdi> until {}</span>'
    return format_html(said, _name(tap), _until(tap))


def _name(tap: Tap) -> str:
    return one_line(tap.by.get_username(), 64)


def _until(tap: Tap) -> str:
    return timezone.localtime(tap.until).strftime("%H:%M:%S")


def _page_of(tap: Tap) -> str:
    return reverse("admin:proxy_connection_tapped", args=[tap.connection_id, tap.pk])


def _question() -> Question:
    return Question(
        title="Look at what goes over a connection",
        says=_SAYS,
        do="Look",
    )


def _question_to_stop(tap: Tap) -> Question:
    looks = f"{_name(tap)} looks at what goes over this connection, until {_until(tap)} at the latest."
    return Question(
        title="Stop who looks at a connection",
        says=(looks, _STOPS),
        do="Stop",
    )


def _seen(tap: Tap) -> dict[str, Any]:
    """What was told until now: the last lines of it."""
    store: Store = get_channel_layer().store
    try:
        entries = store.read_sync(scroll_of(tap.pk))
    except LayerAway:
        return {"lines": [], "unseen": unseen_of({}), "ended": None, "is_away": True, "position": BEGINNING}
    told = [json.loads(entry.text) for entry in entries]
    last = told[-1] if told else {"ended": None}
    if last["ended"] is None and tap.until <= timezone.now():
        last = {**last, "ended": "it is over"}
    lines = [line for each in told for line in each["lines"]][-MOST_LINES:]
    lines = [shown(line) for line in lines]
    position = entries[-1].position if entries else BEGINNING
    return {"lines": lines, "unseen": unseen_of(last), "ended": last["ended"], "position": position}
