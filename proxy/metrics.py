"""Every metric of the gateway, in one file, and the one way to count, from any floor but the core.

A metric is declared here and counted where the thing happens: `child(REJECTIONS_TOTAL, route, reason).inc()`.
Labels are bounded by code and settings, never by clients. This file imports nothing of the house.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TypeVar

from prometheus_client import Counter, Gauge, Histogram

# What happens before, or without, a route; the server knows none.
NO_ROUTE = "none"

MetricT = TypeVar("MetricT", Counter, Gauge, Histogram)

_PREFIX = "gateway_websocket_"
_QUICK_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

# prometheus_client cannot hold a gauge `connections` beside a counter `connections_total`: the gauge gets its
# contracted name at the exposition, where no such rule stands.
CONNECTIONS_NAME, CONNECTIONS_INNER_NAME = _PREFIX + "connections", _PREFIX + "connections_live"
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
CLOSES_TOTAL = Counter(
    _PREFIX + "closes_total", "Links that have ended, by route and cause.", labelnames=("route", "cause")
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
REFUSED_CLIENTS = Gauge(
    _PREFIX + "refused_clients",
    "Clients that were refused within the last ten minutes, by route and cause, however often each; 5,000 of "
    "a process at most. Who comes to several processes is counted by each.",
    labelnames=("route", "cause"),
    multiprocess_mode="livesum",
)
AUTH_FAILURES_TOTAL = Counter(
    _PREFIX + "auth_failures_total",
    "Tokens that were missing or not valid, by reason.",
    labelnames=("reason",),
)
TICKETS_TOTAL = Counter(
    _PREFIX + "tickets_total",
    "One-time tickets by route and what became of them: issued, used, or refused when they were shown.",
    labelnames=("route", "outcome"),
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
    "Members of a pool that are well, by probe and breaker, and have room; where none is, those that only "
    "probes call ill are dialled all the same.",
    labelnames=("backend",),
    multiprocess_mode="livemin",
)
UPSTREAM_MEMBERS = Gauge(
    _PREFIX + "upstream_members",
    "Members of a pool that staff do not drain.",
    labelnames=("backend",),
    multiprocess_mode="livemax",
)
MOST_CONNECTIONS = Gauge(
    _PREFIX + "most_connections",
    "Links that may be live at once: MAX_CONNECTIONS, or fewer where the limit of open files is low.",
    multiprocess_mode="livesum",
)
STORE_CONNECTED = Gauge(
    _PREFIX + "store_connected",
    "Whether the database takes heartbeats, and Redis is heard.",
    labelnames=("store",),
    multiprocess_mode="livemin",
)
KEYS_AGE_SECONDS = Gauge(
    _PREFIX + "keys_age_seconds",
    "How long ago the issuer's keys were fetched; infinite as long as they never were.",
    multiprocess_mode="livemax",
)
EVENTS_TOTAL = Counter(
    _PREFIX + "events_total",
    "Events by source (layer, local, history; answers to one client) and what became of them, per delivery. "
    "And events that waited too long to be shipped, and what was in a history and no event.",
    labelnames=("source", "outcome"),
)
EVENT_DELIVERY_SECONDS = Histogram(
    _PREFIX + "event_delivery_seconds",
    "Time from when an event was published, by its publisher's clock, until all links of this node had it.",
    buckets=_QUICK_BUCKETS,
)
RECOVERIES_TOTAL = Counter(
    _PREFIX + "recoveries_total",
    "Clients that said what they heard of topics with a history, by route and whether they got the rest",
    labelnames=("route", "outcome"),
)
EVENTS_WAITING = Gauge(
    _PREFIX + "events_waiting",
    "Events that were committed and not shipped yet, 100,000 at most, as any node sees them.",
    multiprocess_mode="livemax",
)
EVENTS_WAITING_SECONDS = Gauge(
    _PREFIX + "events_waiting_seconds",
    "For how long the first of them has waited.",
    multiprocess_mode="livemax",
)
OUTGOING_EVENTS_TOTAL = Counter(
    _PREFIX + "outgoing_events_total",
    "Events for other services, by broker and what became of them: sent, doubled (it had it already), "
    "unrouted (sent, and nobody had asked for it), refused for good, or expired.",
    labelnames=("destination", "outcome"),
)
OUTGOING_EVENTS_WAITING = Gauge(
    _PREFIX + "outgoing_events_waiting",
    "Events for other services that were committed and not sent yet, 100,000 at most, as any node sees them.",
    multiprocess_mode="livemax",
)
OUTGOING_EVENTS_WAITING_SECONDS = Gauge(
    _PREFIX + "outgoing_events_waiting_seconds",
    "For how long the first of them has waited.",
    multiprocess_mode="livemax",
)
OUTGOING_EVENTS_REFUSED = Gauge(
    _PREFIX + "outgoing_events_refused",
    "Those that a broker refused for good, and that are kept for staff.",
    multiprocess_mode="livemax",
)
PUBSUB_CHANNELS = Gauge(
    _PREFIX + "pubsub_channels",
    "Channels and patterns of Redis that somebody here listens to.",
    multiprocess_mode="livesum",
)
PUBSUB_MESSAGES_TOTAL = Counter(
    _PREFIX + "pubsub_messages_total", "What was heard on them, counted every few seconds."
)
PUBSUB_LOSSES_TOTAL = Counter(
    _PREFIX + "pubsub_losses_total", "Times that Redis was lost, or could not be reached, to listen to."
)
BRIDGE_MESSAGES_TOTAL = Counter(
    _PREFIX + "bridge_messages_total",
    "What other brokers brought, by bridge and outcome: passed as it came, wrapped, or dropped.",
    labelnames=("bridge", "outcome"),
)
BRIDGE_CONNECTED = Gauge(
    _PREFIX + "bridge_connected",
    "Whether the bridge hears its broker.",
    labelnames=("bridge",),
    multiprocess_mode="livemin",
)
RECORD_QUEUE_LENGTH = Gauge(
    _PREFIX + "record_queue_length", "Records that wait for the database.", multiprocess_mode="livesum"
)
LOOP_LAG_SECONDS = Gauge(
    _PREFIX + "loop_lag_seconds", "How late the event loop is.", multiprocess_mode="livemax"
)
LOOP_BEATEN_AT = Gauge(
    _PREFIX + "loop_beaten_at_seconds",
    "When the event loop last had its turn, as Unix time; of several workers each for itself.",
    multiprocess_mode="liveall",
)
SLOW_TURNS_TOTAL = Counter(
    _PREFIX + "slow_turns_total", "Turns of the event loop that took longer than SLOW_TURN_SECONDS."
)
RESIDENT_BYTES = Gauge(
    _PREFIX + "resident_bytes",
    "Memory of the process, of the largest of a node's.",
    multiprocess_mode="livemax",
)
SPANS_LOST_TOTAL = Counter(_PREFIX + "spans_lost_total", "Spans of traces that no collector took.")
RECORDS_DROPPED_TOTAL = Counter(_PREFIX + "records_dropped_total", "Record snapshots that were given up.")
DATABASE_REFUSED_TOTAL = Counter(
    _PREFIX + "database_refused_total", "Calls that were refused because too many wait for the database."
)
DRAIN_SECONDS = Histogram(
    _PREFIX + "drain_seconds", "How long a drain took.", buckets=(0.1, 1, 5, 10, 30, 60, 120)
)
DRAINING_SECONDS = Gauge(
    _PREFIX + "draining_seconds",
    "For how long this process has drained; 0 while it does not.",
    multiprocess_mode="livemax",
)
WORKER_ENDS_TOTAL = Counter(
    _PREFIX + "worker_ends_total", "Workers that ended, or could not be started, and that nobody had stopped."
)
WEBHOOK_EVENTS_TOTAL = Counter(
    _PREFIX + "webhook_events_total",
    "Events for the webhook by outcome: delivered; refused by it for good; dropped, since too many waited.",
    labelnames=("outcome",),
)
BACKGROUND_CRASHES_TOTAL = Counter(
    _PREFIX + "background_crashes_total", "Restarts of background work.", labelnames=("work",)
)


@lru_cache(maxsize=1024)
def child(metric: MetricT, *labels: str) -> MetricT:
    """`metric.labels(*labels)`, looked up once: the client library takes a lock and some 2 µs each time."""
    return metric.labels(*labels)
