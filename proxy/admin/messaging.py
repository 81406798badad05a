"""What staff say to those who are connected: to some, to users, to a route's, to everyone. It asks first."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse

from proxy.admin.asking import AsksFirst, Question, ReasonForm, answered, selection_of
from proxy.admin.leading_back import came_from
from proxy.admin.pages import BoundedPaginator
from proxy.cluster.publishing import Delivered
from proxy.cluster.questions import LayerAway
from proxy.cluster.staff_messages import tell
from proxy.core.human import counted
from proxy.core.staff_messages import MAX_CHARS, staff_message
from proxy.models import Connection

MOST_TOLD = BoundedPaginator.MOST_ROWS
EVERYONE = "everyone"


class MessageForm(ReasonForm):
    """What people read, and why for other staff."""

    text = forms.CharField(
        max_length=MAX_CHARS,
        help_text=f"What people read, where their client shows it. At most {MAX_CHARS} characters.",
        widget=forms.Textarea(attrs={"class": "vLargeTextField", "rows": 4, "autofocus": True}),
    )
    field_order = ["to", "text", "reason"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].widget.attrs.pop("autofocus", None)

    def clean_text(self) -> str:
        try:
            return str(staff_message(self.cleaned_data["text"])["text"])
        except ValueError as error:
            raise ValidationError(f"Not sent: {error}.") from None


class BroadcastForm(MessageForm):
    """To whom: all links there are, or those of a route."""

    to = forms.ChoiceField()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["to"] = forms.ChoiceField(choices=_audiences())


class MessageActions(AsksFirst):
    """Two actions and a page of the list of connections, with permissions of their own."""

    actions = ["message_links", "message_users"]

    def has_message_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("proxy.message_connection"))

    def has_broadcast_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("proxy.broadcast_connection"))

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.broadcast)
        return [path("broadcast/", page, name="proxy_connection_broadcast"), *super().get_urls()]

    @admin.action(description="Send a message to the selected connections…", permissions=["message"])
    def message_links(self, request: HttpRequest, selected: QuerySet[Connection]) -> HttpResponse | None:
        live = selected.filter(closed_at=None)
        ids = list(live.order_by("pk").values_list("pk", flat=True)[: MOST_TOLD + 1])
        whom = counted(len(ids), "live connection")
        return self._ask_or_tell(request, {"connection_ids": ids}, whom)

    @admin.action(description="Send a message to the selected users…", permissions=["message"])
    def message_users(self, request: HttpRequest, selected: QuerySet[Connection]) -> HttpResponse | None:
        named = selected.order_by().exclude(user_id="").values_list("user_id", flat=True).distinct()
        ids = list(named[: MOST_TOLD + 1])
        live = Connection.objects.filter(closed_at=None, user_id__in=ids).count()
        are = "is" if live == 1 else "are"
        whom = f"all connections of {counted(len(ids), 'user')}, of which {live} {are} live now"
        return self._ask_or_tell(request, {"user_ids": ids} if live else {}, whom)

    def _ask_or_tell(
        self, request: HttpRequest, whom: dict[str, list[str]], said: str
    ) -> HttpResponse | None:
        back = HttpResponseRedirect(came_from(request)) if came_from(request) else None
        count = sum(map(len, whom.values()))
        if not 0 < count <= MOST_TOLD:
            why = "Nobody of them is connected." if not count else f"More than {MOST_TOLD:,}: broadcast it."
            self.message_user(request, why, messages.WARNING)
            return back
        form = answered(MessageForm, request)
        if not form.is_valid():
            question = Question(title="Send a message", says=[f"It goes to {said}."], do="Send")
            return self.ask(request, question, form)
        self._tell(request, form, found_by=selection_of(request), **whom)
        return back

    def broadcast(self, request: HttpRequest) -> HttpResponse:
        """The page that says something to everyone, or to all of a route."""
        if not self.has_broadcast_permission(request):
            raise PermissionDenied
        form, back = answered(BroadcastForm, request), reverse("admin:proxy_connection_changelist")
        if not form.is_valid():
            says = ["Everyone who is connected reads it, or everyone on one route. It cannot be taken back."]
            return self.ask(request, Question(title="Broadcast", says=says, do="Send"), form, back=back)
        route = form.cleaned_data["to"].removeprefix("route:")
        if route == EVERYONE:
            self._tell(request, form, everyone=True)
            return HttpResponseRedirect(back)
        live = Connection.objects.filter(closed_at=None, route=route).order_by("pk")
        ids = list(live.values_list("pk", flat=True)[: MOST_TOLD + 1])
        if len(ids) > MOST_TOLD:
            self.message_user(request, f"{route} has more than {MOST_TOLD:,} links.", messages.WARNING)
        elif ids:
            self._tell(request, form, connection_ids=ids, found_by=f"route={route}")
        else:
            self.message_user(request, f"Nobody is connected on {route}.", messages.WARNING)
        return HttpResponseRedirect(back)

    def _tell(self, request: HttpRequest, form: forms.Form, **whom: Any) -> None:
        text, reason = form.cleaned_data["text"], form.cleaned_data["reason"]
        try:
            told = tell(text, reason=reason, by=request.user, **whom)
        except (ValueError, LayerAway) as error:
            self.message_user(request, f"Some may not have been told: {error}.", messages.ERROR)
            return
        self.message_user(request, _in_words(told), messages.WARNING if told.silent else messages.SUCCESS)


def _in_words(told: Delivered) -> str:
    silent = f" No word yet from {counted(told.silent, 'node')}." if told.silent else ""
    return f"Sent to {counted(told.links, 'connection')}.{silent}"


def _audiences() -> list[tuple[str, str]]:
    """Everyone, and each route that has links, with how many."""
    live = Connection.objects.filter(closed_at=None).order_by()
    routes = live.values("route").annotate(links=Count("pk")).order_by("route").values_list("route", "links")
    counts = list(routes)
    everyone = (EVERYONE, f"everyone ({counted(sum(links for _, links in counts), 'live connection')})")
    return [everyone, *((f"route:{name}", f"{name} ({links} live)") for name, links in counts)]
