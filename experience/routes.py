"""What is routed where: every route of the product, declared."""

from __future__ import annotations

from collections.abc import Iterable

from experience import settings
from experience.studio.routes import STUDIO, STUDIO_SOCKETIO
from proxy.api import (
    BreakerLimits,
    Forward,
    MessageLimits,
    OverRate,
    Probe,
    Route,
    Subject,
    TopicKind,
    Upstream,
)

experience_topic = TopicKind("experience")


def _experience(subject: Subject) -> Iterable[str]:
    return (experience_topic(subject.query["experience"]),)


KB = Upstream.of(
    "kb",
    settings.KB_SERVICE_URL,
    path="/ws/experience",
    probe=Probe.of(settings.KB_PROBE, path=settings.KB_PROBE_PATH, seconds=settings.KB_PROBE_SECONDS),
    # There is one member only: while it is kept off it, nobody is served.
    breaker=BreakerLimits(first_wait_seconds=0.5, longest_wait_seconds=2.0),
)
EXPERIENCE = Route(
    name="experience",
    paths=("ws/experience", "ws/v1/experience"),
    upstream=KB,
    connection_limits=settings.EXPERIENCE_LIMITS,
    bounds=settings.EXPERIENCE_BOUNDS,
    forward=Forward(query=("token", "experience")),
    topics=_experience,
    topic_kinds=(experience_topic,),
    control=True,
    unauthenticated_status=403,
    required_query=("experience",),
    message_limits=MessageLimits(
        messages_per_connection=settings.EXPERIENCE_MESSAGE_RATE, over=OverRate.WAIT
    ),
)

ROUTES = (EXPERIENCE, STUDIO, STUDIO_SOCKETIO)
