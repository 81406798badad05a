"""A route whose links hear a room's topic, before the service that a test puts at KB_SERVICE_URL."""

from __future__ import annotations

from collections.abc import Iterable

from experience.settings import KB_SERVICE_URL
from proxy.api import Route, Subject, TopicKind, Upstream


def route_of(room: TopicKind) -> Route:
    """Of rooms that are topics of that kind."""

    def topics(subject: Subject) -> Iterable[str]:
        return (room(subject.params["room"]),)

    return Route(
        name="rooms",
        paths=("rooms/<slug:room>",),
        upstream=Upstream.of("rooms", KB_SERVICE_URL),
        topics=topics,
        topic_kinds=(room,),
    )
