"""What clients are told, in their route's own protocol, before a close that they shall not come back from."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from proxy.core.closes import Close, ClosedBy, ComeBack

logger = logging.getLogger(__name__)

# Called with the close that follows; answers whole text messages, in order.
Farewell = Callable[[Close], Iterable[str]]


def last_words(farewell: Farewell | None, close: Close, by: ClosedBy) -> tuple[str, ...]:
    """What a client reads before `close`: nothing, unless the gateway ends its link for good.

    What a service has to say before a close of its own it says itself. Never raises: what fails here must not
    keep a link open.
    """
    if (
        farewell is None
        or by not in {ClosedBy.GATEWAY, ClosedBy.STAFF}
        or close.comes_back is not ComeBack.NO
    ):
        return ()
    try:
        words = tuple(farewell(close))
        for word in words:
            word.encode()  # what cannot be sent fails here, and not in the middle of an end
        return words
    except Exception:  # the route's own code
        logger.exception("a route's hook failed", extra={"hook": "farewell"})
        return ()
