"""Events published to one topic with many links: deliveries a second, publishing and Valkey included."""

from __future__ import annotations

from channels_redis.pubsub import RedisPubSubChannelLayer

from bench import load
from bench.figures import Figures, Meter, astray
from bench.running import Running
from bench.traffic import Arrivals
from proxy.core.topics import group_name

WINDOW_EVENTS = 50
EVENT_BYTES = 120
TOPIC = "experience:bench"


async def fanout(running: Running, *, links: int, events: int) -> Figures:
    """Publish `events` to `links`, at most WINDOW_EVENTS ahead of what came, after so many to warm up."""
    layer = RedisPubSubChannelLayer(hosts=[running.redis_url], prefix="gateway")
    async with load.opened([running.url() for _ in range(links)]) as opened:
        await load.echoes(opened)
        arrivals = Arrivals(opened)
        await _publish(layer, arrivals, opened, WINDOW_EVENTS)
        meter, before = Meter(running), arrivals.count
        await _publish(layer, arrivals, opened, events)
        figures = meter.of(arrivals.count - before) | astray(opened)
    await layer.flush()
    return figures


async def _publish(
    layer: RedisPubSubChannelLayer, arrivals: Arrivals, links: list[load.Link], events: int
) -> None:
    """Until all is published, or something has not come."""
    first = links[0].sent
    for published in range(first, first + events, WINDOW_EVENTS):
        for number in range(published, published + WINDOW_EVENTS):
            await layer.group_send(group_name(TOPIC), _event(number))
        for link in links:
            link.sent += WINDOW_EVENTS
        if not await arrivals.until((published + WINDOW_EVENTS) * len(links)):
            return


def _event(number: int) -> dict[str, str]:
    return {"type": "gateway.event", "topic": TOPIC, "text": load.message(number, EVENT_BYTES).decode()}
