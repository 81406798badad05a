"""A node's side of closes that others ask for: kicks by message, and links that a newer one replaces."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from proxy.cluster import signals
from proxy.cluster.ending import end_in_turns, end_link
from proxy.cluster.kick_watch import KickWatch
from proxy.cluster.questions import LayerAway
from proxy.cluster.signals import Closing
from proxy.core import closes
from proxy.core.closes import ClosedBy
from proxy.core.topics import node_topic
from proxy.engine.admission.caps import Admission
from proxy.engine.hub import Hub
from proxy.engine.links.link import Link

logger = logging.getLogger(__name__)


class Closings:
    """Ends links of this node, `links`, that it is told to end."""

    def __init__(self, *, links: Mapping[str, Link], admission: Admission, kicks: KickWatch) -> None:
        self._links, self._admission, self._kicks = links, admission, kicks

    def listen(self, hub: Hub) -> None:
        """Hear of them from now on."""
        self._hub = hub
        hub.receive(signals.CLOSE, self._told)

    def _told(self, message: Mapping[str, Any], links: Iterable[Link]) -> None:
        closing = Closing.of(message)
        if closing.replaced is not None:
            self._admission.replaced(closing.replaced)
            end_if_live(self._links, closing.replaced)

        def end(link: Link) -> None:
            self._hub.hurry(link)
            if end_link(link, closing.close, closing.by) and closing.kick is not None:
                self._kicks.ended(closing.kick, link)

        end_in_turns(iter(links), end)


def end_if_live(links: Mapping[str, Link], link_id: str) -> None:
    """End a link that is replaced; it may have ended meanwhile."""
    link = links.get(link_id)
    if link is not None:
        link.end(closes.REPLACED, ClosedBy.GATEWAY)


async def tell_replaced(node_id: str, link_id: str) -> None:
    """Have that node end a link because its user has opened a newer one, and count it no more.

    The node is told, and not who hears the link's topic.
    """
    signal = Closing(close=closes.REPLACED, by=ClosedBy.GATEWAY, replaced=link_id).signal()
    try:
        await signals.send_to_topic(node_topic(node_id), signal)
    except LayerAway as error:
        logger.warning("the oldest link could not be replaced", extra={"why": repr(error)})
