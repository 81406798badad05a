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
from proxy.tables.node_views import state_of, with_links


@admin.register(Node)
class NodeAdmin(NodeDraining, ReadOnlyAdmin):
    """Running nodes; those that have stopped behind a filter."""

    list_display = ["name", "state", "live_links", "started", "heartbeat", "stopped"]
    list_filter = [RunningFilter]
    search_fields = ["host__startswith", "id"]
    search_help_text = "The start of a host name, or a node id."
    ordering = ["-heartbeat_at"]
    sortable_by = ()
    links = {"live_links": ("proxy.view_connection", "links_counted")}
    fieldsets = [
        (None, {"fields": ["state", "host", "pid", "live_links", "started", "heartbeat", "stopped", "id"]})
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return with_links(super().get_queryset(request))

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
