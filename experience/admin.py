"""Experiences for staff: open, closed for maintenance, with room for so many. docs/admin.md tells them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode

from experience.models import Experience
from experience.switching import MOST_NAMED, disable, enable, names, topics
from experience.topics import experience_topic
from proxy.api import (
    AsksFirst,
    AsksToDelete,
    CheckedAdmin,
    LiveLinks,
    Question,
    ReadOnlyAdmin,
    ReasonForm,
    answered,
    foreign,
)

LEAVE, CLOSE = "leave", "close"


class ExperienceForm(forms.ModelForm):  # type: ignore[type-arg]
    """All but whether it is enabled, which its buttons say; an experience keeps its slug."""

    reason = forms.CharField(
        max_length=200,
        help_text="For the log of what staff did; clients are not told.",
        widget=forms.TextInput(attrs={"class": "vTextField"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "slug" in self.fields:  # not for who may only look
            self.fields["slug"].disabled = self.instance.pk is not None
            self.fields["slug"].strip = False  # type: ignore[attr-defined]  # a blank is told, not taken off

    class Meta:
        model = Experience
        fields = ("slug", "title", "maintenance_message", "capacity")
        widgets = {"maintenance_message": forms.Textarea(attrs={"rows": 3, "class": "vLargeTextField"})}


class DisableForm(ReasonForm):
    """What becomes of the links that live."""

    live_links = forms.ChoiceField(
        choices=[(LEAVE, "Leave them"), (CLOSE, "Close with 1001")],
        initial=LEAVE,
        help_text="Those that are left end by themselves; who is closed comes back, and is refused.",
        widget=forms.RadioSelect,
    )
    field_order = ["live_links", "reason"]


class Switching(AsksFirst):
    """Disables experiences and enables them; needs `experience.enable_experience`."""

    def has_enable_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("experience.enable_experience"))

    @admin.action(description="Disable the selected experiences…", permissions=["enable"])
    def disable(self, request: HttpRequest, selected: QuerySet[Experience]) -> HttpResponse | None:
        rows, form = list(selected), answered(DisableForm, request)
        if not form.is_valid():
            return self.ask(request, _question_to_disable(rows), form)
        ends = form.cleaned_data["live_links"] == CLOSE
        reason = form.cleaned_data["reason"]
        self._say(request, rows, disable(rows, ends_links=ends, reason=reason, by=request.user))
        return self.back(request)

    @admin.action(description="Enable the selected experiences…", permissions=["enable"])
    def enable(self, request: HttpRequest, selected: QuerySet[Experience]) -> HttpResponse | None:
        rows, form = list(selected.filter(enabled=False)), answered(ReasonForm, request)
        if not rows:
            self.message_user(request, "None of them is disabled.", messages.WARNING)
            return None
        if not form.is_valid():
            return self.ask(request, _question_to_enable(rows), form)
        self._say(request, rows, enable(rows, reason=form.cleaned_data["reason"], by=request.user))
        return self.back(request)

    def _say(self, request: HttpRequest, rows: Sequence[Experience], did: str) -> None:
        self.message_user(request, f"{did}: {names(rows)}. Every node keeps to it within two seconds.")


@admin.register(Experience)
class ExperienceAdmin(Switching, AsksToDelete, CheckedAdmin):
    """What staff say of experiences; one without a row is open."""

    form = ExperienceForm
    fields = ["slug", "title", "state", "links", "maintenance_message", "capacity", "reason"]
    readonly_fields = ["state", "links"]
    list_display = ["named", "state", "live_links", "room", "told"]
    sortable_by = ()
    search_fields = ["slug__startswith", "title__startswith"]
    search_help_text = "How a slug or a title begins."
    actions = ["disable", "enable", "delete_selected"]
    paginator = ReadOnlyAdmin.paginator
    show_full_result_count = False
    list_per_page = list_max_show_all = 100

    class Media:
        css = {"all": ["experience/admin.css"]}

    def get_fields(self, request: HttpRequest, obj: Experience | None = None) -> Any:
        """Who may only look gives no reason; one that is new has no state."""
        if obj is None:
            return [name for name in self.fields if name not in self.readonly_fields]
        changes = self.has_change_permission(request, obj)
        return [name for name in self.fields if changes or name != "reason"]

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Live links are counted once, of all that the page shows."""
        shown = super().get_changelist_instance(request)
        rows = shown.result_list = list(shown.result_list)
        live = LiveLinks(topics(rows))
        for row in rows:
            row.live = live.of(experience_topic(row.slug))
        return shown

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = {**(extra_context or {}), "can_enable": self.has_enable_permission(request)}
        return super().change_view(request, object_id, form_url, context)

    def construct_change_message(self, request: Any, form: Any, formsets: Any, add: bool = False) -> Any:
        """With the reason, and what it says now, since the row may be deleted."""
        row, reason = form.instance, form.cleaned_data["reason"]
        row.reason = reason  # which the audit has beside what is said
        return f"{'Added' if add else 'Changed'}: room for {_room(row)}: {reason}"

    def question_to_delete(self, rows: Sequence[Experience]) -> Question:
        disabled = [row for row in rows if not row.enabled]
        opens = f"This opens again what is disabled: {names(disabled)}."
        return Question(
            title="Delete experiences",
            says=[
                f"What staff say of {names(rows)} is forgotten: open, to as many as come.",
                f"Nobody is disconnected: {LiveLinks(topics(rows)).in_words()}.",
            ],
            warns=[opens] if disabled else [],
            do="Delete",
        )

    @admin.display(description="Experience")
    def named(self, row: Experience) -> str:
        title = format_html('<small class="quiet">{}</small>', foreign(row.title)) if row.title else ""
        return format_html("{}{}", foreign(row.slug), title)

    @admin.display(description="State")
    def state(self, row: Experience) -> str:
        css, said = ("gateway-live", "enabled") if row.enabled else ("gateway-down", "disabled")
        closes = "" if row.enabled or not row.ends_links else ", live links closed"
        return format_html('<span class="{}">{}</span>{}', css, said, closes)

    @admin.display(description="Live connections")
    def live_links(self, row: Any) -> str:
        return self._link(row, row.live)

    @admin.display(description="Live connections")
    def links(self, row: Experience) -> str:
        topic = experience_topic(row.slug)
        return self._link(row, LiveLinks([topic]).of(topic))

    def _link(self, row: Experience, live: str) -> str:
        query = urlencode({"live": "yes", "topic": experience_topic(row.slug)})
        url = reverse("admin:proxy_connection_changelist")
        return format_html('<a href="{}?{}">{}</a>', url, query, live)

    @admin.display(description="Room for")
    def room(self, row: Experience) -> str:
        return _room(row)

    @admin.display(description="Clients are told")
    def told(self, row: Experience) -> str:
        return foreign(row.maintenance_message)


def _room(row: Experience) -> str:
    return "any number" if row.capacity is None else f"{row.capacity:,}"


def _question_to_disable(rows: Sequence[Experience]) -> Question:
    live = LiveLinks(topics(rows))
    each = [f"{row.slug}: {live.of(experience_topic(row.slug))}" for row in rows[:MOST_NAMED]]
    figures = f" ({', '.join(each)})" if len(rows) > 1 else ""
    told = sorted({row.maintenance_message for row in rows if row.maintenance_message})
    return Question(
        title="Disable an experience" if len(rows) == 1 else "Disable experiences",
        says=[
            f"Nobody comes into {names(rows)} from then on, on any node: clients get 503, and when to ask.",
            f"Live now: {live.in_words()}{figures}.",
            *([f"Clients are told: “{'”, “'.join(told[:3])}”."] if told else []),
        ],
        warns=[] if told else ["No maintenance message is set: clients are told the gateway's own words."],
        do="Disable",
    )


def _question_to_enable(rows: Sequence[Experience]) -> Question:
    return Question(
        title="Enable an experience" if len(rows) == 1 else "Enable experiences",
        says=[f"Clients come into {names(rows)} again, on every node within two seconds."],
        do="Enable",
    )
