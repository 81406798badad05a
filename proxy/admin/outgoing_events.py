"""Events for other services that their broker refused for good: why, and trying them again."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse

from proxy.admin.asking import AsksFirst, Question, ReasonForm, answered, selection_of
from proxy.admin.pages import ReadOnlyAdmin, foreign_field, moment
from proxy.core.human import counted
from proxy.models import OutgoingEvent
from proxy.tables.deeds import Details, note_deed
from proxy.tables.outgoing_events import send_again

# So many an entry of what staff did names.
MOST_NAMED = 20


@admin.register(OutgoingEvent)
class OutgoingEventAdmin(AsksFirst, ReadOnlyAdmin):
    """Only those that were set aside: others wait for seconds. docs/events-out.md tells what is refused."""

    list_display = ["shown_subject", "why", "size_bytes", "written"]
    fields = ["shown_subject", "shown_key", "why", "size_bytes", "written", "shown_body"]
    ordering = ["-id"]
    actions = ["try_again"]

    shown_subject = foreign_field("subject", "Subject")
    shown_key = foreign_field("key", "Key")
    shown_body = foreign_field("body", "Body")
    why = foreign_field("refused", "Refused because")

    def get_queryset(self, request: HttpRequest) -> QuerySet[OutgoingEvent]:
        return super().get_queryset(request).exclude(refused="")

    def has_try_again_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("proxy.change_outgoingevent")

    @admin.action(description="Send the selected events again…", permissions=["try_again"])
    def try_again(self, request: HttpRequest, selected: QuerySet[OutgoingEvent]) -> TemplateResponse | None:
        events, form = list(selected), answered(ReasonForm, request)
        if not form.is_valid():
            return self.ask(request, _question(events), form)
        sent = send_again([event.pk for event in events])
        count, reason = counted(sent, "event"), form.cleaned_data["reason"]
        named = ", ".join(str(event) for event in events[:MOST_NAMED])
        said = f"Sent {count} again: {reason} ({named}{_more(request, events)})"
        note_deed(request.user, OutgoingEvent, said, about=count, details=Details(count=sent, reason=reason))
        self.message_user(request, f"{count} will be sent again.")
        return None

    @admin.display(description="Written", ordering="created_at")
    def written(self, event: OutgoingEvent) -> str:
        return moment(event.created_at)


def _question(events: list[OutgoingEvent]) -> Question:
    count, subjects = counted(len(events), "event"), {event.subject for event in events}
    sent = f"{count} of {counted(len(subjects), 'subject')} will be sent to the broker once more."
    return Question(
        title="Send events again",
        says=[f"{sent} One that it refuses again comes back to this list."],
        do=f"Send {count} again",
    )


def _more(request: HttpRequest, events: list[OutgoingEvent]) -> str:
    more = f" and {len(events) - MOST_NAMED} more" if len(events) > MOST_NAMED else ""
    found_by = selection_of(request)
    return more + (f"; found by {found_by}" if found_by else "")
