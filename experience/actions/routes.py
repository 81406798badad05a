"""How sockets reach the session service: `/ws/v2/experience`, the same protocol as `/ws/experience`."""

from __future__ import annotations

import asyncio

from experience import settings
from experience.actions.client import ActionClient, ClientLimits
from experience.actions.leg import ActionLeg, LegLimits
from experience.game_routes import GAME
from proxy.api import (
    Leg,
    LegPerLink,
    Route,
    Subject,
    Workplace,
    run_on_every_node,
)

CLIENT = ActionClient(
    settings.KB_SERVICE_URL,
    ClientLimits(
        connections=settings.KB_ACTION_CONNECTIONS,
        most_waiting=settings.KB_ACTIONS_WAITING,
        attempt_seconds=settings.KB_ACTION_SECONDS / 2,
    ),
)
LEG_LIMITS = LegLimits(most_waiting=settings.KB_ACTIONS_PER_LINK, action_seconds=settings.KB_ACTION_SECONDS)


async def open_leg(subject: Subject) -> Leg:
    """Whether the KB is there shows at the first action: a socket may precede it, and outlives it."""
    return ActionLeg(subject, CLIENT, LEG_LIMITS)


async def let_go_of_the_pool(_: Workplace) -> None:
    """Close the HTTP connections with the node."""
    try:
        await asyncio.Event().wait()
    finally:
        await CLIENT.close()


run_on_every_node("kb-actions", let_go_of_the_pool)

EXPERIENCE_V2 = Route(
    name="experience-v2",
    paths=("ws/v2/experience",),
    upstream=LegPerLink(name="kb-actions", open=open_leg, bounds_sends=True),
    **GAME,
)
