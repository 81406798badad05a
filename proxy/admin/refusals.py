"""Who was turned away, when and why."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html

from proxy.admin import filters
from proxy.admin.blocking import ShowsBlocks
from proxy.admin.pages import ReadOnlyAdmin, exact, foreign, foreign_field, moment, small
from proxy.core.addresses import parse_address
from proxy.core.causes import refused_words_of
from proxy.core.closes import Close
from proxy.models import Node, Refusal
from proxy.tables.refusals import lately

SUMMARY_MINUTES = 15


@admin.register(Refusal)
class RefusalAdmin(ShowsBlocks, ReadOnlyAdmin):
    """The last first. Every column and search stays on an index (docs/admin.md)."""

    list_display = ["at", "why", "who", "route_and_path", "address"]
    list_filter = [filters.UserFilter, filters.RefusalCauseFilter, filters.RouteFilter]
    sortable_by = ()
    search_fields = ["id"]  # get_search_results decides; this only shows the box
    search_help_text = "The start of a user id or e-mail address, or a whole IP address or request id."
    fieldsets = [
        (None, {"fields": ["refused", "words", "told", "comes_back", "shown_reason", "how_often"]}),
        ("Client", {"fields": ["user", "mail", "client_address", "agent", "kept_out"]}),
        ("Way", {"fields": ["route", "shown_path", "upstream", "node_name"]}),
        ("Identifiers", {"fields": ["request_id", "id"]}),
    ]
    links = {"kept_out": ("proxy.view_block", "kept_out_unseen")}
    user = foreign_field("user_id", "User")
    mail = foreign_field("email", "Email")
    agent = foreign_field("user_agent", "User agent")
    shown_path = foreign_field("path", "Path")
    shown_reason = foreign_field("reason", "Reason")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Refusal]:
        # Not select_related: a record may be here before its node's row, and must be shown.
        return super().get_queryset(request).prefetch_related("node")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        return (queryset.filter(matching(term)) if term else queryset), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"minutes": SUMMARY_MINUTES, "lately": lately(minutes=SUMMARY_MINUTES)}
        return super().changelist_view(request, {**(extra_context or {}), **context})

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = {**(extra_context or {}), "can_block": request.user.has_perm("proxy.add_block")}
        return super().change_view(request, object_id, form_url, context)

    @admin.display(description="When")
    def at(self, refusal: Refusal) -> str:
        more = f"and {refusal.times - 1:,} more" if refusal.times > 1 else ""
        return format_html("{}{}", moment(refusal.refused_at), small(more))

    @admin.display(description="When")
    def refused(self, refusal: Refusal) -> str:
        return format_html("{} ({})", exact(refusal.refused_at), moment(refusal.refused_at))

    @admin.display(description="Why")
    def why(self, refusal: Refusal) -> str:
        return format_html('{}<br><small class="quiet">{}</small>', self.words(refusal), self.told(refusal))

    @admin.display(description="Why")
    def words(self, refusal: Refusal) -> str:
        return refused_words_of(refusal.cause)

    @admin.display(description="Status, cause")
    def told(self, refusal: Refusal) -> str:
        return f"{refusal.status or 'no status'} {refusal.cause}"

    @admin.display(description="Client comes back")
    def comes_back(self, refusal: Refusal) -> str:
        """What the gateway's own libraries do after such a refusal."""
        return (Close(refusal.close_code).comes_back or "-") if refusal.close_code is not None else "-"

    @admin.display(description="User")
    def who(self, refusal: Refusal) -> str:
        return format_html("{}{}", foreign(refusal.user_id, otherwise="not known"), small(refusal.email))

    @admin.display(description="Route")
    def route_and_path(self, refusal: Refusal) -> str:
        return format_html("{}{}", foreign(refusal.route), small(refusal.path))

    @admin.display(description="Address")
    def address(self, refusal: Refusal) -> str:
        return format_html("{}{}", foreign(refusal.client_address or ""), small(refusal.user_agent))

    @admin.display(description="Times")
    def how_often(self, refusal: Refusal) -> str:
        return f"{refusal.times:,}"

    @admin.display(description="Node")
    def node_name(self, refusal: Refusal) -> str:
        try:
            return foreign(str(refusal.node))
        except Node.DoesNotExist:
            return foreign(refusal.node_id[:8])


def matching(term: str) -> Q:
    """What a search looks for: whole values or beginnings, so that an index answers it."""
    address = parse_address(term)
    if address is not None:
        return Q(client_address=str(address))
    found = Q(request_id=term) | Q(user_id__startswith=term) | Q(email__startswith=term)
    return found | Q(email__startswith=term.lower()) if term != term.lower() else found
