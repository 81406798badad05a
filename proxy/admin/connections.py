"""The connection list and a connection in full."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html, format_html_join

from proxy import registry
from proxy.admin import filters
from proxy.admin.blocking import ShowsBlocks
from proxy.admin.kicking import KickActions
from proxy.admin.messaging import MessageActions
from proxy.admin.pages import ReadOnlyAdmin, exact, foreign, foreign_field, moment, small
from proxy.admin.tapping import PERMISSION as TAP_PERMISSION
from proxy.admin.tapping import Tapping, taps_of
from proxy.core.addresses import parse_address
from proxy.core.causes import words_of
from proxy.core.closes import Close, ClosedBy
from proxy.core.human import duration, size, visible
from proxy.core.link_events import in_words
from proxy.models import Connection, Node
from proxy.tables.counting import totals
from proxy.tables.heart import running_nodes
from proxy.tables.people import events_of

_WHO = ["user", "mail", "client_address", "agent", "kept_out"]
_OURS = {ClosedBy.GATEWAY, ClosedBy.STAFF}


@admin.register(Connection)
class ConnectionAdmin(KickActions, MessageActions, Tapping, ShowsBlocks, ReadOnlyAdmin):
    """Live connections first. Every column and search stays on an index (docs/admin.md)."""

    list_display = [
        "state",
        "who",
        "route_and_place",
        "age",
        "sent",
        "received",
        "address_and_node",
    ]
    list_display_links = ["state", "who"]
    actions = [*KickActions.actions, *MessageActions.actions]  # type: ignore[assignment]  # of either
    list_filter = [
        filters.LiveFilter,
        filters.UserFilter,
        filters.RouteFilter,
        filters.TopicFilter,
        filters.NodeFilter,
        filters.CauseFilter,
        filters.ClosedByFilter,
    ]
    search_fields = ["id"]  # get_search_results decides; this only shows the box
    search_help_text = (
        "The start of a user id or e-mail address, of a path (/ws/…), or a whole IP address or connection id."
        " Live ones (State) can be sorted by age and traffic."
    )
    fieldsets = [
        (
            None,
            {"fields": ["state_in_full", "stoppable", *_WHO]},
        ),
        ("Way", {"fields": ["route", "shown_path", "shown_topic", "upstream", "protocol", "node_link"]}),
        (
            "Traffic",
            {
                "fields": [
                    "opened",
                    "lasted",
                    "last_activity",
                    "sent_in_full",
                    "dropped",
                    "received_in_full",
                    "events",
                ]
            },
        ),
        ("End", {"fields": ["closed", "why", "closed_by", "close_code", "comes_back", "reason"]}),
        ("Identifiers", {"fields": ["id", "request_id"]}),
    ]
    links = {
        "node_link": ("proxy.view_node", "node_name"),
        "kept_out": ("proxy.view_block", "kept_out_unseen"),
        "stoppable": (TAP_PERMISSION, "looked_at"),
    }
    user = foreign_field("user_id", "User")
    mail = foreign_field("email", "Email")
    agent = foreign_field("user_agent", "User agent")
    shown_path = foreign_field("path", "Path")
    shown_topic = foreign_field("topic", "Topic")
    protocol = foreign_field("subprotocol", "Sub-protocol")
    reason = foreign_field("close_reason", "Close reason")

    def get_sortable_by(self, request: HttpRequest) -> list[Any]:
        """Of a million past ones all would be read and sorted; and an index of counters, written every five
        seconds with each live row."""
        is_live = request.GET.get(filters.LiveFilter.parameter_name) == "yes"
        return ["age", "sent", "received"] if is_live else []

    def get_queryset(self, request: HttpRequest) -> QuerySet[Connection]:
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
        context = {"live": totals(), "nodes_running": running_nodes().count()}
        return super().changelist_view(request, {**(extra_context or {}), **context})

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        live = Connection.objects.filter(pk=object_id, closed_at=None).exists()
        context = {
            **(extra_context or {}),
            "can_kick": live and self.has_kick_permission(request),
            "can_tap": live and self.has_tap_permission(request),
            "can_message": live and self.has_message_permission(request),
            "can_block": request.user.has_perm("proxy.add_block"),
        }
        return super().change_view(request, object_id, form_url, context)

    @admin.display(description="State")
    def state(self, connection: Connection) -> str:
        if connection.closed_at is None:
            tapped = taps_of(connection)
            live = format_html('<span class="gateway-live">{}</span>', "live")
            return format_html('{}<br><small class="quiet">{}</small>', live, tapped) if tapped else live
        reason = visible(connection.close_reason) or "no reason given"
        return format_html(
            '<span class="gateway-closed" title="{}">closed</span><br><small class="quiet">{} by {}</small>',
            f"{words_of(connection.cause) or 'closed'} ({reason})",
            connection.close_code or "no code",
            connection.get_closed_by_display() or "unknown",
        )

    @admin.display(description="User")
    def who(self, connection: Connection) -> str:
        return format_html(
            "{}{}", foreign(connection.user_id, otherwise="anonymous"), small(connection.email)
        )

    @admin.display(description="Route")
    def route_and_place(self, connection: Connection) -> str:
        names = format_html_join("", "{}", ((small(each),) for each in place(connection)))
        return format_html("{}{}", foreign(connection.route), names)

    @admin.display(description="Age, idle", ordering="-opened_at")
    def age(self, connection: Connection) -> str:
        idle = f"idle {_idle(connection)}" if connection.closed_at is None else moment(connection.closed_at)
        return format_html(
            '<span title="opened {}">{}</span><br><small class="quiet">{}</small>',
            exact(connection.opened_at),
            _age(connection),
            idle,
        )

    @admin.display(description="From client", ordering="bytes_in")
    def sent(self, connection: Connection) -> str:
        return _traffic(connection.messages_in, connection.bytes_in)

    @admin.display(description="To client", ordering="bytes_out")
    def received(self, connection: Connection) -> str:
        return _traffic(connection.messages_out, connection.bytes_out)

    @admin.display(description="Address, node")
    def address_and_node(self, connection: Connection) -> str:
        return format_html("{}{}", foreign(connection.client_address or ""), small(_node(connection)))

    @admin.display(description="State")
    def state_in_full(self, connection: Connection) -> str:
        if connection.closed_at is None:
            return format_html('<span class="gateway-live">{}</span>', f"live, idle for {_idle(connection)}")
        return format_html('<span class="gateway-closed">closed</span> {}', moment(connection.closed_at))

    @admin.display(description="Node")
    def node_link(self, connection: Connection) -> str:
        return format_html('<a href="../../../node/{}/change/">{}</a>', connection.node_id, _node(connection))

    @admin.display(description="Node")
    def node_name(self, connection: Connection) -> str:
        return foreign(_node(connection))

    @admin.display(description="Opened")
    def opened(self, connection: Connection) -> str:
        return format_html("{} ({})", exact(connection.opened_at), moment(connection.opened_at))

    @admin.display(description="Lasted")
    def lasted(self, connection: Connection) -> str:
        return _age(connection) + (" so far" if connection.closed_at is None else "")

    @admin.display(description="Last message")
    def last_activity(self, connection: Connection) -> str:
        if connection.last_activity_at is None:
            return "none yet"
        return format_html("{} ({})", exact(connection.last_activity_at), moment(connection.last_activity_at))

    @admin.display(description="From client")
    def sent_in_full(self, connection: Connection) -> str:
        return _traffic_in_full(connection.messages_in, connection.bytes_in)

    @admin.display(description="Dropped")
    def dropped(self, connection: Connection) -> str:
        dropped = connection.messages_dropped
        return f"{dropped:,} messages from client, over its rate" if dropped else "none"

    @admin.display(description="Events")
    def events(self, connection: Connection) -> str:
        lines = (
            (moment(each.at), *in_words(each.kind, each.words, each.times)) for each in events_of(connection)
        )
        return format_html_join("", "<div>{}: {} <small>{}</small></div>", lines) or "none"

    @admin.display(description="To client")
    def received_in_full(self, connection: Connection) -> str:
        return _traffic_in_full(connection.messages_out, connection.bytes_out)

    @admin.display(description="Closed")
    def closed(self, connection: Connection) -> str:
        return "still live" if connection.closed_at is None else exact(connection.closed_at)

    @admin.display(description="Why")
    def why(self, connection: Connection) -> str:
        return words_of(connection.cause) or "-"

    @admin.display(description="Client comes back")
    def comes_back(self, connection: Connection) -> str:
        """What the gateway's own closes mean to clients; of other ends, whoever closed knows."""
        if connection.close_code is None or connection.closed_by not in _OURS:
            return "-"
        return Close(connection.close_code).comes_back or "-"


def place(connection: Connection) -> list[str]:
    """What tells a link from others of its route: its path, where that captures anything, and its topic."""
    patterns = [path for route in registry.routes() if route.name == connection.route for path in route.paths]
    path = "" if connection.path.removeprefix("/") in patterns else connection.path
    name = connection.topic.partition(":")[2] or connection.topic  # beside its route the kind is clear
    return [each for each in (path, "" if name in path.split("/") else name) if each]


def matching(term: str) -> Q:
    """What a search looks for: whole values or beginnings, so that an index answers it."""
    address = parse_address(term)
    if address is not None:
        return Q(client_address=str(address))
    if term.startswith("/"):
        return Q(path__startswith=term)
    found = Q(pk=term) | Q(user_id__startswith=term) | Q(email__startswith=term)
    return found | Q(email__startswith=term.lower()) if term != term.lower() else found


def _node(connection: Connection) -> str:
    try:
        return str(connection.node)
    except Node.DoesNotExist:
        return connection.node_id[:8]


def _idle(connection: Connection) -> str:
    last_at = connection.last_activity_at or connection.opened_at
    return duration((timezone.now() - last_at).total_seconds())


def _age(connection: Connection) -> str:
    return duration(((connection.closed_at or timezone.now()) - connection.opened_at).total_seconds())


def _traffic(messages: int, size_bytes: int) -> str:
    return format_html('{}<br><small class="quiet">{}</small>', f"{messages:,}", size(size_bytes))


def _traffic_in_full(messages: int, size_bytes: int) -> str:
    return f"{messages:,} messages, {size(size_bytes)} ({size_bytes:,} bytes)"
