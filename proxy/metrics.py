"""Every metric of the gateway, in one file. Labels are bounded by code and settings, never by clients."""

from __future__ import annotations

import os
from collections.abc import Iterator
from copy import copy
from functools import lru_cache
from typing import TypeVar

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)
from prometheus_client.metrics_core import Metric

from proxy.core.errors import GatewayError
from proxy.engine.links.link import Link
from proxy.engine.links.splice_request import Observer
from proxy.engine.pools.pool import PoolObserver

MetricT = TypeVar("MetricT", Counter, Gauge, Histogram)

CONTENT_TYPE = CONTENT_TYPE_LATEST
_PREFIX = "gateway_websocket_"
_QUICK_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

# prometheus_client cannot hold a gauge `connections` beside a counter `connections_total`: the gauge gets its
# contracted name at the exposition, where no such rule stands.
CONNECTIONS_INNER_NAME = _PREFIX + "connections_live"
CONNECTIONS = Gauge(
    CONNECTIONS_INNER_NAME,
    "Live links, by route and member.",
    labelnames=("route", "backend"),
    multiprocess_mode="livesum",
)
CONNECTIONS_TOTAL = Counter(
    _PREFIX + "connections_total",
    "Handshakes by route and outcome: accepted, or why not.",
    labelnames=("route", "outcome"),
)
MESSAGES_TOTAL = Counter(
    _PREFIX + "messages_total",
    "Whole messages by route and direction (in: from clients, out: to clients).",
    labelnames=("route", "direction"),
)
MESSAGES_DROPPED_TOTAL = Counter(
    _PREFIX + "messages_dropped_total",
    "Messages of clients that went no further, by route and reason.",
    labelnames=("route", "reason"),
)
BYTES_TOTAL = Counter(
    _PREFIX + "bytes_total", "Payload bytes by route and direction.", labelnames=("route", "direction")
)
MESSAGE_SIZE_BYTES = Histogram(
    _PREFIX + "message_size_bytes",
    "Mean message size over a few seconds of a link, by route and direction.",
    labelnames=("route", "direction"),
    buckets=(32, 128, 512, 2048, 8192, 32_768, 131_072, 1_048_576),
)
RECONNECTS_TOTAL = Counter(
    _PREFIX + "reconnects_total",
    "Links that lost their member, by route and outcome: connected to another, lost, or abandoned meanwhile.",
    labelnames=("route", "outcome"),
)
CONNECTION_DURATION_SECONDS = Histogram(
    _PREFIX + "connection_duration_seconds",
    "Time from accept to close, by route and outcome.",
    labelnames=("route", "outcome"),
    buckets=(1, 10, 60, 300, 1800, 3600, 14400),
)
HANDSHAKE_SECONDS = Histogram(
    _PREFIX + "handshake_seconds",
    "Time from the upgrade to accept or refusal, by route and outcome.",
    labelnames=("route", "outcome"),
    buckets=_QUICK_BUCKETS,
)
DIAL_SECONDS = Histogram(
    _PREFIX + "dial_seconds",
    "Time to open an upstream leg, by member.",
    labelnames=("backend",),
    buckets=_QUICK_BUCKETS,
)
ERRORS_TOTAL = Counter(
    _PREFIX + "errors_total",
    "Failures by type: of dials and live links by member, of a pool that has none to give by its name.",
    labelnames=("type", "backend"),
)
REJECTIONS_TOTAL = Counter(
    _PREFIX + "rejections_total", "Refused handshakes by route and reason.", labelnames=("route", "reason")
)
AUTH_FAILURES_TOTAL = Counter(
    _PREFIX + "auth_failures_total",
    "Tokens that were missing or not valid, by reason.",
    labelnames=("reason",),
)
SLOW_CONSUMERS_TOTAL = Counter(
    _PREFIX + "slow_consumers_total",
    "Links closed because the client did not keep up.",
    labelnames=("route",),
)
BACKPRESSURE_EVENTS_TOTAL = Counter(
    _PREFIX + "backpressure_events_total", "Times a full leg paused the other.", labelnames=("route",)
)
BUFFERED_BYTES = Gauge(
    _PREFIX + "buffered_bytes", "Bytes that wait in outboxes.", multiprocess_mode="livesum"
)
UPSTREAM_HEALTHY = Gauge(
    _PREFIX + "upstream_healthy",
    "Members of a pool that can be dialled.",
    labelnames=("backend",),
    multiprocess_mode="livemin",
)
EVENTS_TOTAL = Counter(
    _PREFIX + "events_total",
    "Events by where they came from and what became of them, counted per delivery.",
    labelnames=("source", "outcome"),
)
RECORD_QUEUE_LENGTH = Gauge(
    _PREFIX + "record_queue_length", "Records that wait for the database.", multiprocess_mode="livesum"
)
LOOP_LAG_SECONDS = Gauge(
    _PREFIX + "loop_lag_seconds", "How late the event loop is.", multiprocess_mode="livemax"
)
RECORDS_DROPPED_TOTAL = Counter(_PREFIX + "records_dropped_total", "Record snapshots that were given up.")
DATABASE_REFUSED_TOTAL = Counter(
    _PREFIX + "database_refused_total", "Calls that were refused because too many wait for the database."
)
DRAIN_SECONDS = Histogram(
    _PREFIX + "drain_seconds", "How long a drain took.", buckets=(0.1, 1, 5, 10, 30, 60, 120)
)
BACKGROUND_CRASHES_TOTAL = Counter(
    _PREFIX + "background_crashes_total", "Restarts of background work.", labelnames=("work",)
)


@lru_cache(maxsize=1024)
def child(metric: MetricT, *labels: str) -> MetricT:
    """`metric.labels(*labels)`, looked up once: the client library takes a lock and some 2 µs each time."""
    return metric.labels(*labels)


def count_traffic(link: Link) -> None:
    """Add what crossed `link` since it was last counted; the hot path never touches a metric."""
    route, now, before = link.record.route, link.counters, link.counted
    for direction, messages, size in (
        ("in", now.messages_in - before.messages_in, now.bytes_in - before.bytes_in),
        ("out", now.messages_out - before.messages_out, now.bytes_out - before.bytes_out),
    ):
        if messages:
            child(MESSAGES_TOTAL, route, direction).inc(messages)
            child(BYTES_TOTAL, route, direction).inc(size)
            child(MESSAGE_SIZE_BYTES, route, direction).observe(size / messages)
    if now.messages_dropped > before.messages_dropped:
        dropped = now.messages_dropped - before.messages_dropped
        child(MESSAGES_DROPPED_TOTAL, route, "rate").inc(dropped)
    link.counted = copy(now)


class DialMetrics(PoolObserver):
    """Counts dials by member: bounded by settings and by staff."""

    def dialled(self, member: str, seconds: float) -> None:
        child(DIAL_SECONDS, member).observe(seconds)

    def dial_failed(self, member: str, error: Exception) -> None:
        kind = error.code if isinstance(error, GatewayError) else "dial_failed"
        child(ERRORS_TOTAL, kind, member).inc()

    def lookup_crashed(self) -> None:
        count_crash("resolving")


class LinkMetrics(Observer):
    """Counts what happens to the links of a route while they live."""

    def __init__(self, route: str) -> None:
        self._slow = SLOW_CONSUMERS_TOTAL.labels(route)
        self._backpressure = BACKPRESSURE_EVENTS_TOTAL.labels(route)
        self._dropped = EVENTS_TOTAL.labels("layer", "dropped")

    def slow_consumer(self) -> None:
        self._slow.inc()

    def backpressure(self) -> None:
        self._backpressure.inc()

    def events_dropped(self, count: int) -> None:
        self._dropped.inc(count)


def count_crash(work: str) -> None:
    BACKGROUND_CRASHES_TOTAL.labels(work).inc()


class _Contracted:
    """Collects from another registry, giving the live gauge its contracted name."""

    def __init__(self, inner: CollectorRegistry) -> None:
        self._inner = inner

    def collect(self) -> Iterator[Metric]:
        name = _PREFIX + "connections"
        for metric in self._inner.collect():
            if metric.name == CONNECTIONS_INNER_NAME:
                metric.name = name
                metric.samples = [sample._replace(name=name) for sample in metric.samples]
            yield metric

    def describe(self) -> list[Metric]:
        return []  # the names are known to the inner registry, and two of them would seem to clash


def exposition() -> bytes:
    """All metrics as Prometheus' text; of all workers where PROMETHEUS_MULTIPROC_DIR is set."""
    inner = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        inner = CollectorRegistry()
        multiprocess.MultiProcessCollector(inner)  # type: ignore[no-untyped-call]
    outer = CollectorRegistry()
    outer.register(_Contracted(inner))
    return generate_latest(outer)
