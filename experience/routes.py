"""What is routed where: every route of the product, declared."""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings

from experience.studio.routes import STUDIO, STUDIO_SOCKETIO
from proxy.core.routes import Forward, Route, Subject, Upstream
from proxy.core.topics import experience_topic


def _experience(subject: Subject) -> Iterable[str]:
    return (experience_topic(subject.query["experience"]),)


EXPERIENCE = Route(
    name="experience",
    paths=("ws/experience", "ws/v1/experience"),
    upstream=Upstream.of("kb", settings.KB_SERVICE_URL, path="/ws/experience"),
    forward=Forward(query=("token", "experience")),
    topics=_experience,
    control=True,
    unauthenticated_status=403,
    required_query=("experience",),
)

ROUTES = (EXPERIENCE, STUDIO, STUDIO_SOCKETIO)
