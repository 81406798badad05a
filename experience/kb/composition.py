"""The service put together from the settings: whose a token is, where players are kept, how events go out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

from django.conf import settings

from experience import settings as product
from experience.kb.announcer import Announcer, Publish
from experience.kb.answers import Answers
from experience.kb.nats import NatsUpdates
from experience.kb.players import Players, PlayersUnavailable
from experience.kb.reminder import Reminder
from experience.kb.service import KbService, run_service
from experience.kb.stream import make_stream, see_to_stream
from proxy.api import Background, apublish, token_verifier

logger = logging.getLogger(__name__)


async def serve(*, host: str, port: int, stop: asyncio.Event) -> None:
    """Run the service, with all that it stands on, until `stop` is set.

    Raises:
        ExceptionGroup: of OSError, when it cannot listen there.
    """
    async with publishing() as publish_change:
        await _serve(Announcer(publish_change), host=host, port=port, stop=stop)


async def _serve(announcer: Announcer, *, host: str, port: int, stop: asyncio.Event) -> None:
    verifier, players = token_verifier(), Players()
    background, reminder = Background(), Reminder(players, announcer)
    background.start("reminder", reminder.run)
    if product.NATS_STREAM and product.NATS_URL:
        of_stream = product.NATS_URL, product.NATS_STREAM, product.NATS_SUBJECTS
        background.start("stream", partial(make_stream, *of_stream))
    if verifier.jwks is not None:
        background.start("jwks", verifier.jwks.run)
    answers = Answers(players=players, announcer=announcer)
    service = KbService(verify=verifier.verify, answers=answers)
    try:
        await run_service(service, announcer, host=host, port=port, stop=stop)
    finally:
        await background.stop()
        with suppress(PlayersUnavailable):  # it will be announced again
            await reminder.note()
        await players.close()


@asynccontextmanager
async def publishing() -> AsyncIterator[Publish]:
    """What publishes a state change to the gateway's clients: one way of them, or each would come twice."""
    if product.NATS_URL:
        named = partial(see_to_stream, name=product.NATS_STREAM, bridged=product.NATS_SUBJECTS)
        updates = NatsUpdates(product.NATS_URL, see_to_stream=named if product.NATS_STREAM else None)
        try:
            yield updates.publish
        finally:
            await updates.close()
    elif settings.REDIS_URL:
        yield apublish
    else:
        logger.warning("no NATS_URL, no REDIS_URL: clients of a gateway will not hear of state changes")
        yield _publish_nowhere


async def _publish_nowhere(_: str, __: Mapping[str, Any]) -> None:
    """Nothing joins this process to the gateway's."""
