"""The node list: which gateway processes run, and how many links each holds."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from proxy.admin.filters import RunningFilter
from proxy.admin.node_draining import NodeDraining
from proxy.admin.pages import ReadOnlyAdmin, foreign, moment
from proxy.models import Node
from proxy.tables.node_names import ids_called
from proxy.tables.node_views import state_of, with_links


@admin.register(Node)
class NodeAdmin(NodeDraining, ReadOnlyAdmin):
    """Running nodes; those that have stopped behind a filter."""

    list_display = ["name", "state", "live_links", "started", "heartbeat", "stopped"]
    list_filter = [RunningFilter]
    search_fields = ["host__startswith", "id"]
    search_help_text = "A name as the list has it, the start of a host name, or a node id."
    ordering = ["-heartbeat_at"]
    sortable_by = ()
    links = {"live_links": ("proxy.view_connection", "links_counted")}
    fieldsets = [
        (None, {"fields": ["state", "host", "pid", "live_links", "started", "heartbeat", "stopped", "id"]})
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return with_links(super().get_queryset(request))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """By what a node is called, which no column has whole; else as lists do."""
        called = queryset.filter(pk__in=ids_called(search_term.strip()))
        if search_term.strip() and called.exists():
            return called, False
        return super().get_search_results(request, queryset, search_term)

    @admin.display(description="Node")
    def name(self, node: Node) -> str:
        return foreign(str(node))

    @admin.display(description="State")
    def state(self, node: Node) -> str:
        state = state_of(node, now=timezone.now())
        css = {"stopped": "gateway-closed", "silent": "gateway-late", "told to drain": "gateway-late"}
        return format_html('<span class="{}">{}</span>', css.get(state, "gateway-live"), state)

    @admin.display(description="Live connections")
    def live_links(self, node: Any) -> str:
        url = reverse("admin:proxy_connection_changelist")
        return format_html('<a href="{}?live=yes&amp;node={}">{}</a>', url, node.pk, node.links)

    @admin.display(description="Live connections")
    def links_counted(self, node: Any) -> str:
        return str(node.links)

    @admin.display(description="Started")
    def started(self, node: Node) -> str:
        return moment(node.started_at)

    @admin.display(description="Heartbeat")
    def heartbeat(self, node: Node) -> str:
        return moment(node.heartbeat_at)

    @admin.display(description="Stopped")
    def stopped(self, node: Node) -> str:
        return moment(node.stopped_at)
