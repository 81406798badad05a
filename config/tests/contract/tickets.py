"""A product that knows its clients by tickets of its own, before a leg that it opens for each."""

from __future__ import annotations

import asyncio

from channels.db import database_sync_to_async
from django.contrib.auth import get_user_model
from django.core.signing import BadSignature, TimestampSigner

from proxy.api import (
    AuthenticationFailed,
    Close,
    ClosedBy,
    Credentials,
    Leg,
    LegClosed,
    LegPerLink,
    Principal,
    Route,
    Subject,
)

TICKETS = TimestampSigner(salt="socket")
TICKET_SECONDS = 60


async def authenticate(credentials: Credentials) -> Principal:
    """Takes the ticket that a page has made for its user, `TICKETS.sign(user.pk)`, for a minute."""
    try:
        pk = TICKETS.unsign(credentials.token, max_age=TICKET_SECONDS)
    except BadSignature:
        raise AuthenticationFailed("no ticket, or an old one", message="Fetch a new ticket.") from None
    if not await database_sync_to_async(is_active)(pk):
        raise AuthenticationFailed(f"user {pk} is not active")
    return Principal(user_id=pk)


def is_active(pk: str) -> bool:
    return get_user_model().objects.filter(pk=pk, is_active=True).exists()


MOST_WAITING = 16


class Echo(Leg):
    """Gives each message back, and closes after `bye`."""

    def __init__(self) -> None:
        self._answers: asyncio.Queue[str | bytes] = asyncio.Queue(MOST_WAITING)

    async def send(self, message: str | bytes) -> None:
        await self._answers.put(message)

    async def receive(self) -> str | bytes:
        answer = await self._answers.get()
        if answer == "bye":
            raise LegClosed(Close(1000, "bye"), by=ClosedBy.UPSTREAM)
        return answer


async def open_echo(_: Subject) -> Leg:
    return Echo()


ROUTES = (
    Route(
        name="echo",
        paths=("echo",),
        upstream=LegPerLink(name="echo", open=open_echo),
        authenticate=authenticate,
        control=True,
    ),
)
