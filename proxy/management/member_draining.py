"""Members of pools, found by their URL, and drained or brought back from a shell."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from django.core.management.base import CommandError

from proxy.core.human import counted
from proxy.core.text_tables import plain
from proxy.management.staff_command import CommandAnswer, Misused
from proxy.models import PoolMember
from proxy.tables.blocking import MANY_LINKS
from proxy.tables.deeds import a_shell
from proxy.tables.known import check_pool
from proxy.tables.member_draining import MOVE_SECONDS, Drain, drain_member, others_of
from proxy.tables.pools_overview import MemberView, PoolView, pool_views

Confirm = Callable[[str], None]


def do_to_member(
    how: Drain, url: str, *, pool: str | None, reason: str, confirm: Confirm | None = None
) -> CommandAnswer:
    """Drain it on every node, or bring it back; what there is to say of it. Confirmed where it hits many.

    Raises as `_member_of` and `confirm` do.
    """
    found, member = _member_of(url, pool=pool)
    others = others_of(found, member)
    if confirm is not None and (question := _question(how, found, member, others=others)):
        confirm(question)
    try:
        said = drain_member(member, found.name, how, reason=reason, by=a_shell())
    except PoolMember.DoesNotExist:
        raise CommandError("there is no such member any more") from None
    told = {"pool": found.name, "url": url, "draining": how is not Drain.UNDRAIN}
    take = f"{counted(others, 'other')} of {found.name} take{'s' if others == 1 else ''} new ones"
    words = (
        f"{said or 'It was not drained, and gets new links.'} It has {counted(member.links, 'link')}; {take}."
    )
    return CommandAnswer(told | {"links": member.links, "others": others}, [plain(words, 500)])


def _question(how: Drain, pool: PoolView, member: MemberView, *, others: int) -> str:
    """With the figures that admin has; "" where nobody is to be asked."""
    links = counted(member.links, "link")
    if how is Drain.MOVE and member.links and (not others or member.links >= MANY_LINKS):
        ends = f"This ends {links} over {MOVE_SECONDS} seconds."
    else:
        ends = f"It has {links}."
        if others or member.draining:
            return ""
    left = f"{counted(others, 'other member')} left." if others else _NOBODY_LEFT
    return plain(f"This drains {member.url} of {pool.name}. {ends} {left}", 500)


_NOBODY_LEFT = "No other member takes new links: newcomers will get 503."


def _member_of(url: str, *, pool: str | None) -> tuple[PoolView, MemberView]:
    """The member of that URL, of `pool` where several have it.

    Raises:
        Misused: several pools have such a member, or there is no such pool.
        CommandError: none has, or its pool is of the settings alone.
    """
    check_pool(pool)
    pools = [view for view in pool_views() if pool is None or view.name == pool]
    found = [(view, member) for view in pools for member in view.members if member.url == url]
    if not found:
        raise CommandError(f"no pool has such a member. There are: {_names(pools)}")
    if len(found) > 1:
        raise Misused(
            f"several pools have it: say --pool, one of {', '.join(view.name for view, _ in found)}"
        )
    if not found[0][0].editable:
        raise CommandError(f"the members of {found[0][0].name} are those of settings alone")
    return found[0]


def _names(pools: Iterable[PoolView]) -> str:
    return ", ".join(member.url for view in pools for member in view.members) or "none"
