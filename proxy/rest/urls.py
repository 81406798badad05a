"""The paths of the HTTP API, under /api/."""

from django.urls import path

from proxy.rest.audit import Audit, Messages
from proxy.rest.blocks import Blocks, LiftBlock, PlaceBlock
from proxy.rest.connections import Connections
from proxy.rest.document import schema
from proxy.rest.events import Events
from proxy.rest.kicks import Kicks
from proxy.rest.messages import Broadcast, SendMessage
from proxy.rest.nodes import DrainNode, Nodes
from proxy.rest.notes import DeleteNote, Notes
from proxy.rest.people import People, PersonStory
from proxy.rest.pools import BringBackMember, DrainMember, Pools
from proxy.rest.presence import Presences
from proxy.rest.refusals import Refusals
from proxy.rest.revocations import Revocations, RevokeTokens
from proxy.rest.status import Series, Statuses
from proxy.rest.tickets import Tickets

urlpatterns = [
    path("events", Events.as_view(), name="api-events"),
    path("kick", Kicks.as_view(), name="api-kick"),
    path("revoke", RevokeTokens.as_view(), name="api-revoke"),
    path("block", PlaceBlock.as_view(), name="api-block"),
    path("lift", LiftBlock.as_view(), name="api-lift"),
    path("message", SendMessage.as_view(), name="api-message"),
    path("broadcast", Broadcast.as_view(), name="api-broadcast"),
    path("nodes/drain", DrainNode.as_view(), name="api-node-drain"),
    path("members/drain", DrainMember.as_view(), name="api-member-drain"),
    path("members/bring-back", BringBackMember.as_view(), name="api-member-bring-back"),
    path("notes", Notes.as_view(), name="api-notes"),
    path("notes/delete", DeleteNote.as_view(), name="api-note-delete"),
    path("connections", Connections.as_view(), name="api-connections"),
    path("refusals", Refusals.as_view(), name="api-refusals"),
    path("blocks", Blocks.as_view(), name="api-blocks"),
    path("revocations", Revocations.as_view(), name="api-revocations"),
    path("nodes", Nodes.as_view(), name="api-nodes"),
    path("pools", Pools.as_view(), name="api-pools"),
    path("audit", Audit.as_view(), name="api-audit"),
    path("messages", Messages.as_view(), name="api-messages"),
    path("people", People.as_view(), name="api-people"),
    path("people/<path:user_id>", PersonStory.as_view(), name="api-person"),
    path("status", Statuses.as_view(), name="api-status"),
    path("series", Series.as_view(), name="api-series"),
    path("presence/<path:topic>", Presences.as_view(), name="api-presence"),
    path("tickets", Tickets.as_view(), name="api-tickets"),
    path("schema", schema, name="api-schema"),
]
