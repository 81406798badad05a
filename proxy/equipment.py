"""What a node has because of its settings: bounds, connections to Redis, a webhook, traces."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.conf import settings
from redis.asyncio import Redis

from proxy.core.limits import LinkLimits
from proxy.engine.admission.shared_caps import SCRIPT, RunScript
from proxy.engine.redis.address import RedisAddress
from proxy.engine.redis.commands import RedisCommands
from proxy.engine.redis.subscriber import Subscriber
from proxy.outgoing.webhook import Target, Webhook

if TYPE_CHECKING:  # an extra
    from proxy.engine.tracing import Tracing


def link_limits() -> LinkLimits:
    """The bounds on every link, from settings."""
    return LinkLimits(
        dial_timeout_seconds=settings.DIAL_TIMEOUT_SECONDS,
        idle_timeout_seconds=settings.WS_TIMEOUT_SECONDS,
        slow_consumer_seconds=settings.SLOW_CONSUMER_SECONDS,
        # From when handshakes refuse the token: one that was just accepted must not be closed at once.
        token_grace_seconds=settings.JWT_LEEWAY_SECONDS + settings.TOKEN_GRACE_SECONDS,
        reconnect_seconds=settings.RECONNECT_SECONDS,
        max_message_bytes=settings.MAX_MESSAGE_BYTES,
        outbox_bytes=settings.OUTBOX_BYTES,
    )


def tracing_of(node_id: str) -> Tracing:
    """What makes spans. Its packages are an extra, and imported only here and by the doctor."""
    from proxy.engine.tracing import Collector, Tracing, sampler

    collector = Collector(
        url=settings.TRACES_ENDPOINT,
        headers=settings.OTEL_EXPORTER_OTLP_TRACES_HEADERS,
        timeout_seconds=settings.OTEL_EXPORTER_OTLP_TRACES_TIMEOUT,
    )
    return Tracing(
        collector,
        service=settings.OTEL_SERVICE_NAME,
        node_id=node_id,
        sampler=sampler(settings.OTEL_TRACES_SAMPLER, settings.OTEL_TRACES_SAMPLER_ARG),
        most_waiting=settings.OTEL_BSP_MAX_QUEUE_SIZE,
        delay_milliseconds=settings.OTEL_BSP_SCHEDULE_DELAY,
    )


def webhook_of(node_id: str) -> Webhook:
    target = Target(settings.WEBHOOK_URL, settings.WEBHOOK_KEY, settings.WEBHOOK_EVENTS)
    return Webhook(target, node_id=node_id)


def redis_for_all(url: str) -> tuple[Subscriber | None, RedisCommands | None]:
    """One connection each for all in this process that subscribe, and that tell Redis something."""
    return (Subscriber(RedisAddress.parse(url)), RedisCommands(url)) if url else (None, None)


def script_in_redis() -> RunScript:
    """Runs the admission's script in the Redis of the settings, also after that has forgotten it."""
    options: dict[str, Any] = dict(settings.REDIS_HOST)
    redis: Any = Redis.from_url(options.pop("address"), **options)
    return partial(redis.register_script(SCRIPT), ())
