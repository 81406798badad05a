"""Draining a node from outside: told by a message, and by its row, which it reads as it beats."""

from __future__ import annotations

import logging
from typing import Any

from django.db.models.functions import Now

from proxy.cluster.questions import LayerAway
from proxy.cluster.signals import DRAIN, send_to_topic_sync
from proxy.core.human import counted
from proxy.core.topics import node_topic
from proxy.models import Connection, Node
from proxy.tables.deeds import Details, note_deed
from proxy.tables.heart import running_nodes

log = logging.getLogger(__name__)


def drain_node(node: Node, *, reason: str, by: Any) -> bool:
    """Have `node` take no new links, send its clients away and end; noted as a deed of `by`.

    False: it does not run any more, or was told before. Raises django.db.Error, with nobody told.
    """
    links = Connection.objects.filter(closed_at=None, node=node).count()
    if not running_nodes().filter(pk=node.pk, told_to_drain_at=None).update(told_to_drain_at=Now()):
        return False
    said = f"Told to drain, with {counted(links, 'live connection')}: {reason}"
    note_deed(by, Node, said, about=str(node), object_id=node.pk, details=Details(count=links, reason=reason))
    log.info("drain", extra={"node": str(node), "by": str(by), "reason": reason})
    try:
        send_to_topic_sync(node_topic(node.pk), {"type": DRAIN})
    except LayerAway as error:
        log.warning("drain: not sent, the node will see by itself", extra={"why": repr(error)})
    return True
