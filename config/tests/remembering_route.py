"""A route whose topics remember: the rooms that its path names. What is behind it says nothing."""

import asyncio

from proxy.api import History, Leg, LegPerLink, Route, Subject, TopicKind

ROOM = TopicKind("room", history=History(events=1000, seconds=600))
BRIEF = TopicKind("brief", history=History(events=5, seconds=600))


class Silent(Leg):
    """Hears everything, and says nothing."""

    async def receive(self) -> str | bytes:
        await asyncio.Event().wait()
        return ""

    async def send(self, message: str | bytes) -> None:
        """It is of no interest."""


async def open_leg(_: Subject) -> Leg:
    return Silent()


ROUTE = Route(
    name="rooms",
    paths=("rooms/<slug:room>",),
    upstream=LegPerLink(name="silent", open=open_leg),
    topics=lambda subject: (ROOM(subject.params["room"]), BRIEF(subject.params["room"])),
    topic_kinds=(ROOM, BRIEF),
)
