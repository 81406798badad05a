"""The button of a node's page: what a drain will do is said first, and asked for a reason."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse

from proxy.admin.asking import AsksFirst, Question, ReasonForm, answered
from proxy.cluster.node_draining import drain_node
from proxy.core.human import counted
from proxy.models import Connection, Node
from proxy.tables.heart import BEAT_SECONDS, running_nodes


class NodeDraining(AsksFirst):
    """Drains a node; needs `proxy.drain_node`. There is no way back but to start the process anew."""

    def has_drain_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("proxy.drain_node"))

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.drain)
        return [path("<path:object_id>/drain/", page, name="proxy_node_drain"), *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        runs = running_nodes().filter(pk=unquote(object_id), draining=False, told_to_drain_at=None).exists()
        context = {**(extra_context or {}), "can_drain": runs and self.has_drain_permission(request)}
        return super().change_view(request, object_id, form_url, context)

    def drain(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The page that asks, and what comes of its answer."""
        if not (self.has_drain_permission(request) and self.has_view_permission(request)):
            raise PermissionDenied
        node = running_nodes().filter(pk=object_id).first()
        if node is None:
            self.message_user(request, "This node does not run any more.", messages.WARNING)
            return HttpResponseRedirect(reverse("admin:proxy_node_changelist"))
        form, back = answered(ReasonForm, request), reverse("admin:proxy_node_change", args=[node.pk])
        if not form.is_valid():
            return self.ask(request, _question(node), form, back=back)
        if drain_node(node, reason=form.cleaned_data["reason"], by=request.user):
            self.message_user(request, f"Told to drain: it begins within {BEAT_SECONDS:g} seconds.")
        else:
            self.message_user(request, "It was told before.", messages.WARNING)
        return HttpResponseRedirect(back)


def _question(node: Node) -> Question:
    links = Connection.objects.filter(closed_at=None, node=node).count()
    others = running_nodes().filter(draining=False, told_to_drain_at=None).exclude(pk=node.pk).count()
    live = counted(links, "live connection")
    ends = f"{live} of its own, closed with 1001 over {settings.DRAIN_SECONDS:g} seconds"
    takes = f"{counted(others, 'other node')} {'takes' if others == 1 else 'take'} new links."
    return Question(
        title="Drain a node",
        says=[
            f"{node} takes no new links from then on. It has {ends}; clients come back to the others.",
            "Then its process ends. It cannot be brought back from here: its supervisor starts it anew.",
            *([takes] if others else []),
        ],
        warns=[] if others else ["No other node takes new links: nobody gets in until it is back."],
        do=f"Drain, and end {counted(links, 'connection')}",
    )
