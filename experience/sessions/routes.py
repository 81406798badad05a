"""How sockets reach a session: /AGENT/ws/SESSION."""

from __future__ import annotations

from collections.abc import Iterable

from experience import settings
from experience.sessions.relay import Sessions
from proxy.api import (
    LegPerLink,
    LinkBounds,
    MessageLimits,
    OverRate,
    Route,
    Subject,
    TopicKind,
    run_on_every_node,
)

session_topic = TopicKind("session")


def _session(subject: Subject) -> Iterable[str]:
    return (session_topic(subject.params["session_id"]),)


_sessions = Sessions()
run_on_every_node("sessions", _sessions.run)

SESSIONS = Route(
    name="sessions",
    # Two segments of letters, digits, - and _ around `ws`: no other path of the product is like that.
    paths=("<slug:agent_id>/ws/<slug:session_id>",),
    upstream=LegPerLink(name="sessions", open=_sessions.open, bounds_sends=True),
    authenticate=_sessions.authenticate,
    topics=_session,
    topic_kinds=(session_topic,),
    connection_limits=settings.RELAY_LIMITS,
    message_limits=MessageLimits(
        messages_per_connection=settings.RELAY_MESSAGE_RATE,
        bytes_per_connection=settings.RELAY_BYTE_RATE,
        over=OverRate.WAIT,
    ),
    bounds=LinkBounds(
        # Three steps, each of which says by itself that it took too long, and a token given back.
        dial_timeout_seconds=3 * settings.RELAY_REDIS_TIMEOUT_SECONDS + 1,
        max_message_bytes=settings.RELAY_MOST_BYTES,
        outbox_bytes=settings.RELAY_OUTBOX_BYTES,
        idle_timeout_seconds=settings.RELAY_WS_TIMEOUT_SECONDS,
    ),
)
