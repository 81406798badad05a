"""Events for other services that their broker refused for good: why, and trying them again."""

from __future__ import annotations

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest

from proxy.admin.pages import ReadOnlyAdmin, foreign_field, moment
from proxy.core.human import counted
from proxy.models import OutgoingEvent
from proxy.tables.outgoing_events import send_again


@admin.register(OutgoingEvent)
class OutgoingEventAdmin(ReadOnlyAdmin):
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

    @admin.action(description="Send the selected events again", permissions=["try_again"])
    def try_again(self, request: HttpRequest, selected: QuerySet[OutgoingEvent]) -> None:
        events = list(selected)
        LogEntry.objects.log_actions(
            request.user.pk,  # type: ignore[arg-type]  # staff are logged in
            events,
            CHANGE,
            change_message="Sent again",
        )
        count = send_again([event.pk for event in events])
        level = messages.SUCCESS if count else messages.WARNING
        self.message_user(request, f"{counted(count, 'event')} will be sent again.", level)

    @admin.display(description="Written", ordering="created_at")
    def written(self, event: OutgoingEvent) -> str:
        return moment(event.created_at)
