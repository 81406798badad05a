"""The service put together from the settings: whose a token is, where players are kept, how events go out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from django.conf import settings

from experience.kb.announcer import Announcer, Publish
from experience.kb.players import Players
from experience.kb.service import KbService, run_service
from proxy.api import Background, publish, token_verifier

logger = logging.getLogger(__name__)


async def serve(*, host: str, port: int, stop: asyncio.Event) -> None:
    """Run the service, with all that it stands on, until `stop` is set.

    Raises:
        ExceptionGroup: of OSError, when it cannot listen there.
    """
    verifier, players, announcer = token_verifier(), Players(), Announcer(publisher())
    background = Background()
    if verifier.jwks is not None:
        background.start("jwks", verifier.jwks.run)
    service = KbService(verify=verifier.verify, players=players, announcer=announcer)
    try:
        await run_service(service, announcer, host=host, port=port, stop=stop)
    finally:
        await background.stop()
        await players.close()


def publisher() -> Publish:
    """What publishes a state change to the gateway's clients; without a Redis to meet at, nothing does."""
    if not settings.REDIS_URL:
        logger.warning("REDIS_URL is not set: clients of a gateway will not hear of state changes")
        return _publish_nowhere
    return publish


async def _publish_nowhere(_: str, __: Mapping[str, Any]) -> None:
    """No channel layer joins this process to the gateway's."""
