"""A product whose rooms tell who is there."""

from __future__ import annotations

from config.tests.contract.room_route import route_of
from proxy.api import TopicKind

ROUTES = (route_of(TopicKind("room", presence=True)),)
