"""The gateway with an inspected twin of the game route, `/ws/inspected`.

Its policy does what the cheapest useful one would: it parses each message, both ways, and lets it pass.
"""

from __future__ import annotations

import json
from dataclasses import replace

from config.asgi import http_application  # first: it sets Django up  # isort: skip

from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

from experience.routes import EXPERIENCE
from proxy import registry
from proxy.consumers import GatewayConsumer
from proxy.core.closes import Close
from proxy.core.verdicts import FORWARD, Direction, Verdict
from proxy.engine.link import Link
from proxy.joins import SPLICE_EXTENSION, Accept, Join, SpliceJoin
from proxy.middleware import gateway_middleware

INSPECTED = replace(EXPERIENCE, name="inspected", paths=("ws/inspected",), control=False)
registry.register([INSPECTED])
INVALID = Verdict(forward=False, close=Close(1008, "invalid data"))


def policy(_: Direction, __: int, payload: bytes) -> Verdict:
    try:
        fields = json.loads(payload)
    except ValueError:
        return INVALID
    return FORWARD if isinstance(fields, dict) else INVALID


class InspectedJoin(SpliceJoin):
    def accepting(self, link: Link, leg: object) -> Accept:
        accept = super().accepting(link, leg)
        accept[SPLICE_EXTENSION].inspect = policy
        return accept


class InspectedConsumer(GatewayConsumer):
    def _choose_join(self) -> Join:
        return InspectedJoin(
            self.route,
            limits=self.runtime.limits,
            observer=self.runtime.observer(self.route),
            receive=self.base_receive,
        )


application = ProtocolTypeRouter(
    {
        "http": http_application,
        "websocket": gateway_middleware(
            URLRouter([path("ws/inspected", InspectedConsumer.as_asgi(route=INSPECTED))])
        ),
    }
)
