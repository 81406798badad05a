"""Taps as staff begin, watch and stop them, from whichever process their page is of."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.db import Error, transaction
from django.utils import timezone

from proxy.cluster.asking import ask_sync, question
from proxy.cluster.questions import LayerAway
from proxy.cluster.signals import TAP, Signal, send_to_topic, send_to_topic_sync
from proxy.cluster.taps import end_row
from proxy.core.tapping import TAP_SECONDS
from proxy.core.topics import connection_topic
from proxy.models import Connection, Tap
from proxy.tables.deeds import Details, note_deed

log = logging.getLogger(__name__)
_KEPT = timedelta(days=1)


class NotTapped(Exception):
    """Nobody looks on; its text says why."""


def begin_tap(connection: Connection, *, reason: str, by: Any) -> Tap:
    """Have the node that has the link look on for `by`, a user; noted as one deed. Not for async code.

    Raises:
        NotTapped: the link has ended, or its node says no.
        LayerAway: Redis is away, or does not answer.
        django.db.Error: the database is away; nobody looks on.
    """
    Tap.objects.filter(until__lt=timezone.now() - _KEPT).delete()
    until = timezone.now() + timedelta(seconds=TAP_SECONDS)
    tap = Tap.objects.create(connection=connection, by=by, until=until)  # before: its end may come at once
    try:
        _ask(tap, by=str(by), reason=reason)
    except (NotTapped, LayerAway):
        tap.delete()
        raise
    said = f"Tapped for at most {TAP_SECONDS / 60:g} minutes: {reason}"
    about, details = _about(connection), Details(count=1, reason=reason)
    try:
        note_deed(by, Connection, said, about=about, object_id=connection.pk, details=details)
    except Error:
        _stop(tap)
        with suppress(Error):
            tap.delete()
        raise
    return tap


def stop_tap(tap: Tap, *, by: Any, reason: str = "") -> bool:
    """Have nobody look on any more; noted as a deed of `by`. Raises django.db.Error.

    False: its node has not said that it does. As the row is over, nobody tells it to go on, and it ends some
    twenty seconds later by itself, or behind an outage of Redis.
    """
    try:
        (answers,) = ask_sync([question(connection_topic(tap.connection_id), _signal(tap.pk, "stop", by))])
        is_known = not answers.silent
    except LayerAway as error:
        log.warning("a tap: not known whether it stopped", extra={"why": repr(error)})
        is_known = False
    with transaction.atomic():
        end_row(tap.pk)
        said = f"Stopped the tap of {tap.by}" + (f": {reason}" if reason else "")
        about, details = _about_link(tap.connection_id), Details(reason=reason)
        note_deed(by, Connection, said, about=about, object_id=tap.connection_id, details=details)
    return is_known


async def go_on(tap_id: str, connection_id: str) -> None:
    """Somebody looks on still. Raises LayerAway."""
    await send_to_topic(connection_topic(connection_id), _signal(tap_id, "stay"))


def go_on_sync(tap: Tap) -> None:
    """`go_on` for code that is not async; it may be lost."""
    try:
        send_to_topic_sync(connection_topic(tap.connection_id), _signal(tap.pk, "stay"))
    except LayerAway as error:
        log.warning("a tap: not sent that somebody looks on", extra={"why": repr(error)})


def _ask(tap: Tap, *, by: str, reason: str) -> None:
    signal = {**_signal(tap.pk, "begin", by), "reason": reason}
    try:
        (answers,) = ask_sync([question(connection_topic(tap.connection_id), signal)])
    except LayerAway:
        _stop(tap)
        raise
    said = [json.loads(each) for each in answers.said]
    if any(each.get("tap") == tap.pk for each in said):
        return
    if answers.silent:  # it may look on all the same, and its answer be late
        _stop(tap)
    why = next((each["why"] for each in said if each.get("why")), "")
    nobody = "its node does not answer" if answers.silent else "it has ended"
    raise NotTapped(why or nobody)


def _stop(tap: Tap) -> None:
    """Nobody is to look on, if anybody does."""
    try:
        send_to_topic_sync(connection_topic(tap.connection_id), _signal(tap.pk, "stop"))
    except LayerAway as error:  # then nobody says either that somebody looks on, and it ends by itself
        log.warning("a tap: not sent that it is to stop", extra={"why": repr(error)})


def _signal(tap_id: str, do: str, by: object = "") -> Signal:
    return {"type": TAP, "tap": tap_id, "do": do, "by": str(by)}


def _about_link(connection_id: str) -> str:
    """Its record may have gone before."""
    link = Connection.objects.filter(pk=connection_id).first()
    return connection_id if link is None else _about(link)


def _about(connection: Connection) -> str:
    who = connection.user_id or connection.client_address or "anonymous"
    return f"{who} on {connection.route} ({connection.pk})"
