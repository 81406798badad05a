"""Whether links may begin on this node: none once it drains, nor beyond as many as it holds."""

from __future__ import annotations

from collections.abc import Callable

from proxy.core.errors import Draining, GatewayError, Overloaded


class Door:
    """What a node knows of draining, it knows here: the server asks, and the heart as it beats."""

    def __init__(self, *, most_links: int) -> None:
        self.most_links = most_links
        self.draining = False
        # What makes this process drain; `serve` puts its server here.
        self.request_drain: Callable[[], None] | None = None

    def refusal(self, links: int) -> GatewayError | None:
        """Why no link may begin beside `links` others: this node drains, or is full. None: it may."""
        if self.draining:
            return Draining("this node drains")
        if links >= self.most_links:
            return Overloaded("MAX_CONNECTIONS reached")
        return None

    def drain(self) -> None:
        """Somebody told this node to: its server knows how; without one that does, it takes no new links."""
        if self.request_drain is None:
            self.draining = True
        else:
            self.request_drain()
