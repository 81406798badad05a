"""What is counted of the chat service, a process of its own. Labels are bounded by this code."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

SOCKETS = Gauge("chat_service_sockets", "Sockets that are open.", multiprocess_mode="livesum")
CONVERSATIONS = Gauge(
    "chat_service_conversations",
    "Conversations in memory: those that a socket hears, and what was asked for a minute ago.",
    multiprocess_mode="livesum",
)
HANDSHAKES_TOTAL = Counter(
    "chat_service_handshakes_total",
    "Handshakes by outcome: accepted, health_check, or the code of the refusal.",
    labelnames=("outcome",),
)
SENDS_TOTAL = Counter(
    "chat_service_sends_total",
    "Messages that were sent, by what became of them: kept, repeated (it was kept before), key_reused, or "
    "failed (whoever sent it is told to try again).",
    labelnames=("outcome",),
)
BATCH_MESSAGES = Histogram(
    "chat_service_batch_messages",
    "Messages that went to the database in one transaction.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128),
)
WRITE_SECONDS = Histogram(
    "chat_service_write_seconds",
    "How long such a transaction took, the wait for the database included.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
SENDS_WAITING = Gauge(
    "chat_service_sends_waiting", "Messages that wait for the database.", multiprocess_mode="livesum"
)
ERRORS_TOTAL = Counter(
    "chat_service_errors_total", "Errors that clients were answered, by code.", labelnames=("code",)
)
ANNOUNCEMENTS_TOTAL = Counter(
    "chat_service_announcements_total",
    "What other instances are told of, by outcome: published, or dropped: they find it later.",
    labelnames=("outcome",),
)
SLOW_CONSUMERS_TOTAL = Counter(
    "chat_service_slow_consumers_total", "Sockets that were closed because the client did not keep up."
)
