"""What is routed where: every route of the product, declared."""

from __future__ import annotations

from experience import rules, settings
from experience.actions.routes import EXPERIENCE_V2
from experience.actions.share import Share
from experience.chat import outgoing
from experience.chat.routes import CHAT
from experience.events import bridges
from experience.game_routes import GAME
from experience.sessions.routes import SESSIONS
from experience.studio.routes import STUDIO, STUDIO_SOCKETIO
from proxy.api import (
    BreakerLimits,
    Forward,
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
    forward=Forward(query=("token", "experience")),
    divert=Share(EXPERIENCE_V2.name, percent=settings.V2_SHARE, claim=settings.V2_CLAIM).divert(),
    **GAME,
)

ROUTES = (EXPERIENCE, EXPERIENCE_V2, STUDIO, STUDIO_SOCKETIO, CHAT, SESSIONS)

rules.keep_on_every_node()
bridges.run_on_every_node()
outgoing.run_on_every_node()
