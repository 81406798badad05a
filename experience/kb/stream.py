"""The stream of JetStream that keeps state changes, where NATS_STREAM names one and nobody has made it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from experience.kb.nats import ANSWER_SECONDS, connected
from proxy.api import BridgedSubject

if TYPE_CHECKING:
    from nats.aio.client import Client

logger = logging.getLogger(__name__)

# Gateways read on after five minutes at most; the rest is for who looks into it.
KEEP_SECONDS = 3600
MOST_BYTES = 256 << 20
AGAIN_SECONDS = 1.0


async def make_stream(servers: Sequence[str], name: str, bridged: Sequence[BridgedSubject]) -> None:
    """Try until it is there: made here, or by others, whose bounds it keeps then."""
    from nats.errors import Error

    has_failed = False
    while True:
        try:
            async with connected(servers) as client:
                return await see_to_stream(client, name=name, bridged=bridged)
        except (OSError, TimeoutError, Error) as error:
            if not has_failed:
                logger.warning("the stream is not there yet", extra={"stream": name, "why": _why(error)})
            has_failed = True
        await asyncio.sleep(AGAIN_SECONDS)


async def see_to_stream(client: Client, *, name: str, bridged: Sequence[BridgedSubject]) -> None:
    """Make it, if it is not there. Raises nats.errors.Error, TimeoutError."""
    from nats.js.errors import NotFoundError

    subjects = list(dict.fromkeys(each.any_subject for each in bridged))
    jetstream = client.jetstream(timeout=ANSWER_SECONDS)
    try:
        await jetstream.stream_info(name)
    except NotFoundError:
        await jetstream.add_stream(name=name, subjects=subjects, max_age=KEEP_SECONDS, max_bytes=MOST_BYTES)
        logger.info("stream made", extra={"stream": name, "subjects": subjects})


def _why(error: Exception) -> str:
    """One that JetStream itself has named says more than its class."""
    return str(getattr(error, "description", None) or type(error).__name__)
