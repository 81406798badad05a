"""The paths of the HTTP API, under /api/."""

from django.urls import path

from proxy.rest.connections import Connections
from proxy.rest.document import schema
from proxy.rest.events import Events
from proxy.rest.kicks import Kicks
from proxy.rest.presence import Presences
from proxy.rest.revocations import RevokeTokens
from proxy.rest.tickets import Tickets

urlpatterns = [
    path("events", Events.as_view(), name="api-events"),
    path("kick", Kicks.as_view(), name="api-kick"),
    path("revoke", RevokeTokens.as_view(), name="api-revoke"),
    path("connections", Connections.as_view(), name="api-connections"),
    path("presence/<path:topic>", Presences.as_view(), name="api-presence"),
    path("tickets", Tickets.as_view(), name="api-tickets"),
    path("schema", schema, name="api-schema"),
]
