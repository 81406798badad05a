"""Whose turn it is, of all processes that share the database: one at a time, for some seconds at a time.

Only the database's clock counts. Who is killed leaves a turn that is over within seconds; who was frozen has
to look at a clock of its own before it does anything, since it may be another's turn by then.
"""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Q
from django.db.models.functions import Now

from proxy.models import Turn


def take(name: str, holder: str, seconds: float) -> bool:
    """Whether it is `holder`'s turn, for so many seconds from now on; also when it was before."""
    return _take(name, holder, seconds) or (_made(name) and _take(name, holder, seconds))


def is_due(name: str, seconds: float) -> bool:
    """Whether it is time for what one of all processes does now and then; next in so many seconds."""
    return _is_due(name, seconds) or (_made(name) and _is_due(name, seconds))


def give_up(name: str, holder: str) -> None:
    """It may be another's turn from now on. Nothing happens when it is another's already."""
    Turn.objects.filter(name=name, holder=holder).update(until=Now())


def _take(name: str, holder: str, seconds: float) -> bool:
    free = Turn.objects.filter(Q(holder=holder) | Q(until__lte=Now()), name=name)
    return bool(free.update(holder=holder, until=Now() + timedelta(seconds=seconds)))


def _is_due(name: str, seconds: float) -> bool:
    due = Turn.objects.filter(name=name, until__lte=Now())
    return bool(due.update(holder="", until=Now() + timedelta(seconds=seconds)))


def _made(name: str) -> bool:
    """Whether there was no such turn yet, and there is one now."""
    return Turn.objects.get_or_create(name=name, defaults={"holder": "", "until": Now()})[1]
