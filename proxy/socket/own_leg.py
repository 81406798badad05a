"""A leg that a route has made itself: a mistake in its abort costs nobody else anything."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from typing import Any

from proxy.core.closes import Close
from proxy.core.legs import Leg

logger = logging.getLogger(__name__)


class OwnLeg(Leg):
    """The route's leg. What its abort raises is logged: the link is still to give back what else it holds."""

    __slots__ = ("_leg", "_route")

    def __init__(self, leg: Leg, *, route: str) -> None:
        """`route` is the route's name, for the log."""
        self._leg, self._route = leg, route

    def receive(self) -> Coroutine[Any, Any, str | bytes]:
        return self._leg.receive()

    def send(self, message: str | bytes) -> Coroutine[Any, Any, None]:
        return self._leg.send(message)

    @property
    def subprotocol(self) -> str | None:
        return self._leg.subprotocol

    @property
    def unsent_bytes(self) -> int:
        return self._leg.unsent_bytes

    def close(self, close: Close) -> Coroutine[Any, Any, None]:
        return self._leg.close(close)

    def abort(self) -> None:
        try:
            self._leg.abort()
        except Exception as error:  # the route's own code
            extra = {"route": self._route, "hook": "abort"}
            logger.error("a route's hook failed", extra=extra, exc_info=error)
