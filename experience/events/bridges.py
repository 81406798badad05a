"""What other brokers publish for the links of this product."""

from __future__ import annotations

from experience import settings
from proxy import api


def run_on_every_node() -> None:
    """Have every node hear the brokers that settings name."""
    if settings.NATS_URL:
        broker = _nats()
        api.run_on_every_node("nats", api.bridge(broker))
        api.tried_by_doctor("nats", broker.look, hint="Start it, or correct NATS_URL.")
    if settings.REDIS_CHANNELS:
        api.run_on_every_node("redis", api.bridge_redis("redis", settings.REDIS_CHANNELS))


def _nats() -> api.NatsBroker | api.JetStreamBroker:
    servers, bridged = settings.NATS_URL, settings.NATS_SUBJECTS
    if settings.NATS_STREAM:
        return api.JetStreamBroker("nats", servers=servers, bridged=bridged, stream=settings.NATS_STREAM)
    return api.NatsBroker("nats", servers=servers, bridged=bridged)
