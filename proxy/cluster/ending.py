"""Ending links of this node, however many: one that cannot be ended keeps no other, and none holds it up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from proxy.core.closes import Close, ClosedBy
from proxy.engine.links.link import Link

log = logging.getLogger(__name__)

# So many links are held against a rule or a row before others get their turn, within some 2 ms; to end one
# costs as much as some.
LINKS_A_TURN = 300
LINKS_AN_END = 6


def end_link(link: Link, close: Close, by: ClosedBy) -> bool:
    """End it; False if it was ending already, or if that fails, which is logged: whatever is wrong with one
    link, the others end."""
    try:
        return link.end(close, by)
    except Exception:
        log.exception("a link could not be ended", extra=link.log_fields)
        return False


async def hold_against(links: Iterable[Link], end_if_meant: Callable[[Link], bool]) -> None:
    """Call `end_if_meant`, which says whether it has, for each; others have their turns meanwhile."""
    looked_at = 0
    for link in tuple(links):
        looked_at += LINKS_AN_END if end_if_meant(link) else 1
        if looked_at >= LINKS_A_TURN:
            looked_at = 0
            await asyncio.sleep(0)
    await asyncio.sleep(0)


def end_in_turns(links: Iterator[Link], end: Callable[[Link], object]) -> None:
    """Call `end` for some links now, and for the others in later turns of the loop: others have theirs."""
    some = tuple(islice(links, LINKS_A_TURN // LINKS_AN_END))
    for link in some:
        end(link)
    if some:
        asyncio.get_running_loop().call_soon(end_in_turns, links, end)
