"""Draining a member of a pool, and bringing it back: by its row, which every node reads."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from django.db import transaction

from proxy.models import PoolMember
from proxy.tables.deeds import Details, note_deed
from proxy.tables.pools_overview import MemberView, PoolView, pool_views, set_draining

MOVE_SECONDS = 30


class Drain(StrEnum):
    """What is done to a member: no new links; also its own ended, over a while; or new links again."""

    DRAIN = "drain"
    MOVE = "move"
    UNDRAIN = "undrain"


_DONE = {
    Drain.DRAIN: "Draining {}: it gets no new links.",
    Drain.MOVE: f"Draining {{}}: its links end over the next {MOVE_SECONDS} seconds.",
    Drain.UNDRAIN: "Brought back {}.",
}


def find_member(pool: str, url: str) -> tuple[PoolView, MemberView] | None:
    """A member that may be drained, and its pool."""
    pools = (each for each in pool_views() if each.name == pool and each.editable)
    return next(((each, member) for each in pools for member in each.members if member.url == url), None)


def others_of(pool: PoolView, member: MemberView) -> int:
    """How many other members take new links."""
    return sum(each.takes_new_links for each in pool.members if each is not member)


@transaction.atomic
def drain_member(member: MemberView, pool: str, how: Drain, *, reason: str, by: Any) -> str:
    """Do so on every node; what is said of it. One deed of `by`'s, but for a member to be brought back that
    was not drained: then nothing is done, and "" answered. Raises PoolMember.DoesNotExist.
    """
    if how is Drain.UNDRAIN and not member.draining:
        return ""
    seconds = MOVE_SECONDS if how is Drain.MOVE else None
    row = set_draining(pool, member.url, draining=how is not Drain.UNDRAIN, move_seconds=seconds)
    said = _DONE[how].format(member.url)
    details = Details(count=member.links, reason=reason)
    note_deed(
        by, PoolMember, f"{said} {reason}".strip(), about=str(row), object_id=str(row.pk), details=details
    )
    return said
