"""`manage.py nodes`: the gateway's processes, with their links, and what each did in the last seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.utils import timezone

from proxy.cluster.lately import lately
from proxy.cluster.questions import LayerAway
from proxy.core.human import duration, milliseconds, rate, size
from proxy.core.samples import Sample
from proxy.core.text_tables import table
from proxy.management.staff_command import CommandAnswer, StaffCommand
from proxy.tables.node_views import NodeView, node_views

HEADINGS = ["NODE", "STATE", "LINKS", "MESSAGES", "LOOP LAG", "MEMORY", "UP", "HEARTBEAT", "ID"]


class Command(StaffCommand):
    help = "Lists the nodes that run, and those that were lost in the last quarter of an hour."

    def answer(self, **options: Any) -> CommandAnswer:
        views, samples = node_views(), self._samples()
        told = [_told(view, samples.get(view.id)) for view in views]
        rows = [_row(each) for each in told]
        return CommandAnswer(told, table(HEADINGS, rows, whole=("NODE",)) if rows else ["no node runs"])

    def _samples(self) -> dict[str, Sample]:
        """What each node did lately, by its id; nothing where that cannot be had."""
        if not settings.REDIS_URL:
            return {}
        try:
            seconds = async_to_sync(lately)(settings.REDIS_URL)
        except LayerAway as error:
            self.remark(f"what nodes do is not known: {error}")
            return {}
        return {node.node_id: node.sample for node in seconds.nodes} if seconds else {}


def _told(view: NodeView, sample: Sample | None) -> dict[str, Any]:
    """What is not known of its last seconds is null."""
    messages = None if sample is None else (sample.messages_in + sample.messages_out) / sample.seconds
    return {
        "id": view.id,
        "name": view.name,
        "state": view.state,
        "links": view.links,
        "started_at": view.started_at,
        "heartbeat_at": view.heartbeat_at,
        "messages_a_second": messages,
        "loop_lag_seconds": None if sample is None else sample.loop_lag_seconds,
        "resident_bytes": None if sample is None else sample.resident_bytes,
    }


def _row(told: Mapping[str, Any]) -> list[str]:
    now = timezone.now()

    def shown(name: str, words: Any) -> str:
        return "" if told[name] is None else str(words(told[name]))

    return [
        told["name"],
        told["state"],
        str(told["links"]),
        shown("messages_a_second", rate),
        shown("loop_lag_seconds", milliseconds),
        shown("resident_bytes", size),
        duration((now - told["started_at"]).total_seconds()),
        f"{duration((now - told['heartbeat_at']).total_seconds())} ago",
        told["id"],
    ]
