"""A leg that a route has made itself: a mistake in the code that ends it costs nobody else anything."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from typing import Any

from proxy.core.closes import Close
from proxy.core.errors import LegClosed
from proxy.core.legs import Leg

logger = logging.getLogger(__name__)


class OwnLeg(Leg):
    """The route's leg. What goes wrong at its end is logged: the client is still to hear its close, and the
    link to give back what it holds."""

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

    async def close(self, close: Close) -> None:
        try:
            await self._leg.close(close)
        except (LegClosed, TimeoutError):
            raise
        except Exception as error:  # noqa: BLE001  the route's own code
            self._tell("close", error)

    def abort(self) -> None:
        try:
            self._leg.abort()
        except Exception as error:  # noqa: BLE001  the route's own code
            self._tell("abort", error)

    def _tell(self, hook: str, error: Exception) -> None:
        logger.error("a route's hook failed", extra={"route": self._route, "hook": hook}, exc_info=error)
