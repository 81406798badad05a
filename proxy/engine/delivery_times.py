"""How long events take, from when they are published until the last link of a node has got them."""

from __future__ import annotations

import time

from proxy import metrics
from proxy.core.events import Event


class LastListener:
    """Stands behind all who hear one event: what it gets, they have got.

    `published_at`, in Unix seconds, is by the publisher's clock; ahead of ours, it counts as now.
    """

    __slots__ = ("_published_at",)
    gathers = True

    def __init__(self, published_at: float) -> None:
        self._published_at = published_at

    def inject(self, *_: Event) -> None:
        metrics.EVENT_DELIVERY_SECONDS.observe(max(0.0, time.time() - self._published_at))
