"""What staff say to those who are connected: published to their links, and noted once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from proxy.cluster.kicks import MOST_LOGGED
from proxy.cluster.publishing import Delivered, Publication, publish_many
from proxy.cluster.questions import LayerAway
from proxy.core.human import counted
from proxy.core.staff_messages import staff_message
from proxy.core.topics import EVERYONE, connection_topic, user_topic
from proxy.models import Connection
from proxy.tables.deeds import Details, note_deed

log = logging.getLogger(__name__)


def tell(
    text: str,
    *,
    user_ids: Sequence[str] = (),
    connection_ids: Sequence[str] = (),
    everyone: bool = False,
    reason: str,
    by: Any,
    found_by: str = "",
) -> Delivered:
    """Say `text` to all links of users, to single links, or to everyone, at most once; noted for `by`.

    Waits for the nodes to say how many links took it, a second for each thousand of whom it names. For code
    that is not async.

    Raises:
        ValueError: the text is none that can be said.
        LayerAway: Redis is away, or does not answer: some may have been told.
    """
    event = staff_message(text)
    user_ids, connection_ids = tuple(dict.fromkeys(user_ids)), tuple(dict.fromkeys(connection_ids))
    ids = [*user_ids, *connection_ids]
    topics = [*map(user_topic, user_ids), *map(connection_topic, connection_ids)]
    named = ", ".join(ids[:MOST_LOGGED]) + (" and more" if len(ids) > MOST_LOGGED else "")
    whom = f"; to {named}" if ids else ""
    found = f"; found by {found_by}" if found_by else ""
    several = counted(len(ids), "connection") if len(ids) > 1 and not user_ids else ""
    about = "everyone" if everyone else several or named

    def note(count: int | None) -> None:
        hit = "an unknown number of connections" if count is None else counted(count, "connection")
        said = f"Told {hit} “{event['text']}”: {reason}{whom}{found}"
        details = Details(count=count, reason=reason, found_by=found_by)
        note_deed(by, Connection, said, about=about, details=details)
        log.info("message of staff", extra={"by": str(by), "reason": reason, "links": count})

    try:
        told = _sum(
            publish_many([Publication(topic, event) for topic in ([EVERYONE] if everyone else topics)])
        )
    except LayerAway:
        note(None)
        raise
    note(told.links)
    return told


def _sum(delivered: Iterable[Delivered]) -> Delivered:
    """Links in all. Nodes may be the same ones, so the most that one topic has are told."""
    all_of_it = list(delivered)
    nodes = max((each.nodes for each in all_of_it), default=0)
    silent = max((each.silent for each in all_of_it), default=0)
    return Delivered(nodes, sum(each.links for each in all_of_it), silent)
