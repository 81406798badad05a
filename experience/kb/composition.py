"""What the service takes from the rest of the house: whose a token is, and how an event is published."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from typing import Any

import jwt
from django.conf import settings

from experience.kb.announcer import Publish
from experience.kb.handshake import Verify
from proxy.core.errors import AuthenticationFailed
from proxy.core.principal import Principal

logger = logging.getLogger(__name__)


def token_verifier() -> Verify:
    return _verify


def _verify(raw: str) -> Principal:
    key = settings.JWT_SIGNING_KEY or settings.JWT_VERIFYING_KEY
    try:
        claims = jwt.decode(
            raw, key, algorithms=[settings.JWT_ALGORITHM], options={"require": ["exp", "sub"]}
        )
    except jwt.PyJWTError as error:
        raise AuthenticationFailed(type(error).__name__) from None
    return Principal(user_id=claims["sub"])


def publisher() -> Publish:
    """What publishes a state change to the gateway's clients; without a Redis to meet at, nothing does."""
    if not settings.REDIS_URL or importlib.util.find_spec("experience.events") is None:
        logger.warning("REDIS_URL is not set: other processes will not hear of state changes")
        return _publish_nowhere
    publish: Publish = importlib.import_module("experience.events").publish
    return publish


async def _publish_nowhere(_: str, __: dict[str, Any]) -> None:
    """No channel layer joins this process to the gateway's."""
