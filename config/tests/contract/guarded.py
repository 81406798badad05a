"""A product whose route says who may come in, before the service that a test puts at KB_SERVICE_URL."""

from __future__ import annotations

import asyncio

from experience import settings
from proxy.api import Forbidden, Policy, Route, Subject, TopicKind, Upstream

ROOM = TopicKind("room")


async def authorize(subject: Subject) -> None:
    """Asks somebody else, and lets nobody in who comes as one."""
    await asyncio.sleep(0)
    if subject.query.get("as") == "nobody":
        raise Forbidden("nobody may not come in")


class Choosy(Policy):
    """Takes no strangers."""

    def __init__(self, subject: Subject) -> None:
        if subject.query.get("as") == "stranger":
            raise Forbidden("strangers may not come in")


GUARDED = Route(
    name="guarded",
    paths=("guarded",),
    upstream=Upstream.of("guarded", settings.KB_SERVICE_URL, path="/ws"),
    topics=lambda subject: (ROOM(subject.query["experience"]),),
    topic_kinds=(ROOM,),
    authorize=authorize,
    policy=Choosy,
)
ROUTES = (GUARDED,)
