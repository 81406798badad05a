"""Members of pools, drained and brought back from a shell."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from django.core.management.base import CommandError
from django.db import transaction

from proxy.core.human import counted
from proxy.management.staff_command import Misused
from proxy.models import PoolMember
from proxy.tables.deeds import Details, a_shell, note_deed
from proxy.tables.pools_overview import MemberView, PoolView, pool_views, set_draining


class Found(NamedTuple):
    """A member of a pool that staff may change."""

    pool: PoolView
    member: MemberView

    @property
    def others(self) -> int:
        """How many others of its pool take new links."""
        return sum(each.takes_new_links for each in self.pool.members if each is not self.member)

    def __str__(self) -> str:
        return f"{self.member.url} ({self.pool.name})"


def member_of(url: str, *, pool: str | None) -> Found:
    """The member of that URL, of `pool` where several have it.

    Raises:
        Misused: several pools have such a member.
        CommandError: none has, or its pool is of the settings alone.
    """
    pools = [view for view in pool_views() if pool is None or view.name == pool]
    found = [Found(view, member) for view in pools for member in view.members if member.url == url]
    if not found:
        raise CommandError(f"no pool has such a member. There are: {_names(pools)}")
    if len(found) > 1:
        raise Misused(
            f"several pools have it: say --pool, one of {', '.join(each.pool.name for each in found)}"
        )
    if not found[0].pool.editable:
        raise CommandError(f"the members of {found[0].pool.name} are those of settings alone")
    return found[0]


def _names(pools: Iterable[PoolView]) -> str:
    return ", ".join(member.url for view in pools for member in view.members) or "none"


def set_member(
    found: Found, *, draining: bool, reason: str, move_seconds: int | None = None
) -> dict[str, Any]:
    """Drain it on every node, or bring it back, with one entry of the audit; answers what is told of it.

    Raises CommandError: it has gone meanwhile.
    """
    pool, url, links = found.pool.name, found.member.url, found.member.links
    moves = f", and moving its links over {counted(move_seconds, 'second')}" if move_seconds else ""
    said = f"{'Draining' if draining else 'Brought back'}{moves}, with {counted(links, 'link')}: {reason}"
    try:
        with transaction.atomic():
            row = set_draining(pool, url, draining=draining, move_seconds=move_seconds)
            details = Details(count=links, reason=reason)
            note_deed(a_shell(), PoolMember, said, about=str(row), object_id=str(row.pk), details=details)
    except PoolMember.DoesNotExist:
        raise CommandError("there is no such member any more") from None
    return {"pool": pool, "url": url, "draining": draining, "links": links, "others": found.others}
