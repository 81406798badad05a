"""What is routed where: every route of the product, declared."""

from __future__ import annotations

from experience import settings
from experience.actions.routes import EXPERIENCE_V2
from experience.actions.share import Share
from experience.events import bridges
from experience.sessions.routes import SESSIONS
from experience.studio.routes import STUDIO, STUDIO_SOCKETIO
from experience.topics import experience_topic, of_experience
from proxy.api import (
    BreakerLimits,
    Forward,
    MessageLimits,
    OverRate,
    Probe,
    Route,
    Upstream,
)

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
    divert=Share(EXPERIENCE_V2.name, percent=settings.V2_SHARE, claim=settings.V2_CLAIM).divert(),
    topics=of_experience,
    topic_kinds=(experience_topic,),
    control=True,
    unauthenticated_status=403,
    required_query=("experience",),
    message_limits=MessageLimits(
        messages_per_connection=settings.EXPERIENCE_MESSAGE_RATE, over=OverRate.WAIT
    ),
)

ROUTES = (EXPERIENCE, EXPERIENCE_V2, STUDIO, STUDIO_SOCKETIO, SESSIONS)

bridges.run_on_every_node()
