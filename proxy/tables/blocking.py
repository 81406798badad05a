"""Whom a block hits, and which hold against a client; blocks that programs place and lift."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network
from operator import attrgetter
from typing import Any

from django.contrib.admin.models import ADDITION, DELETION
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from proxy.core.blocking import Blocklist, BlockRule, parse_network
from proxy.core.human import counted
from proxy.core.people import NoteKind
from proxy.core.principal import is_user_id
from proxy.models import Block, Connection
from proxy.tables.counting import MOST_COUNTED
from proxy.tables.deeds import Details, note_deed
from proxy.tables.staff_notes import note_block

# By version of IP: a wider network is more than one place, and a still wider one a large part of the world.
PLACE_BITS = {4: 24, 6: 48}
WORLD_BITS = {4: 8, 6: 16}
# Ending so many links is asked for, whatever the block names.
MANY_LINKS = 50
# What has to be typed for a block of a large part of the world.
WORD = "everyone"
# Of these, blocks of networks are tried one by one.
MOST_BLOCKS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """The live links that a block matches, and their users; counted up to a bound."""

    links: int
    users: int
    is_bounded: bool
    needs_word: bool
    is_wide: bool

    @classmethod
    def of(cls, block: Block) -> Hit:
        network = parse_network(block.network) if block.network else None
        blocklist = Blocklist([_rule(block)])
        now, live = timezone.now().timestamp(), Connection.objects.filter(closed_at=None)
        if block.user_id:
            live = live.filter(user_id=block.user_id)
        rows = live.values_list("user_id", "client_address")[: MOST_COUNTED + 1]
        hit = [
            user_id
            for user_id, address in rows
            if blocklist.blocks(user_id=user_id, address=address or "", now=now)
        ]
        bits = 128 if network is None or block.user_id else network.prefixlen
        version = 4 if isinstance(network, IPv4Network) else 6
        return cls(
            links=min(len(hit), MOST_COUNTED),
            users=len(set(hit)),
            is_bounded=len(rows) > MOST_COUNTED,
            needs_word=bits < WORLD_BITS[version],
            is_wide=bits < PLACE_BITS[version],
        )

    @property
    def is_to_be_asked(self) -> bool:
        return self.is_wide or self.links >= MANY_LINKS


def blocks_of(user_id: str, address: str) -> tuple[list[Block], bool]:
    """Those that keep out a client of that user from that address now, and whether that may not be all.

    Of all that might, at most `MOST_BLOCKS` are looked at: the user's own, then the newest of networks alone.
    """
    now = timezone.now()
    holding = Block.objects.filter(Q(until=None) | Q(until__gt=now), user_id__in={user_id, ""})
    own_first = holding.select_related("created_by").order_by("-user_id", "-created_at", "-id")
    rows = list(own_first[: MOST_BLOCKS + 1])
    matching = [
        block
        for block in sorted(rows[:MOST_BLOCKS], key=attrgetter("pk"), reverse=True)
        if Blocklist([_rule(block)]).blocks(user_id=user_id, address=address, now=now.timestamp())
    ]
    return matching, len(rows) > MOST_BLOCKS


def _rule(block: Block) -> BlockRule:
    network = parse_network(block.network) if block.network else None
    until = None if block.until is None else block.until.timestamp()
    return BlockRule(user_id=block.user_id, network=network, until=until)


def as_block(*, user_id: str, network: str, until: datetime | None, reason: str) -> Block:
    """A block that is not placed yet. Raises ValueError, which says why it could be none."""
    row = Block(user_id=user_id, network=network, until=until, reason=reason)
    if user_id and not is_user_id(user_id):
        raise ValueError("user_id: no user id is like that")
    try:
        row.full_clean(exclude=["created_by"])
    except ValidationError as error:
        raise ValueError(" ".join(error.messages)) from None
    if until is not None and until <= timezone.now():
        raise ValueError("until: that time has passed")
    return row


@transaction.atomic
def place(block: Block, *, hit: Hit, by: Any) -> None:
    """Keep somebody out from now on; `hit` are the live links that end. One deed of `by`'s."""
    block.placed_by(by)
    block.save(force_insert=True)
    note_block(block, NoteKind.BLOCKED, by=by)
    said = f"{placed_in_words(block, hit.links)}: {block.reason or 'no reason given'}"
    details = Details(count=hit.links, reason=block.reason, flag=ADDITION)
    note_deed(by, Block, said, about=str(block), object_id=str(block.pk), details=details)


def placed_in_words(block: Block, links: int, *, done: str = "Blocked") -> str:
    """Such as `Blocked for good, 2 live links`."""
    until = "for good" if block.until is None else f"until {block.until:%Y-%m-%d %H:%M %Z}"
    return f"{done} {until}, {counted(links, 'live link')}"


@transaction.atomic
def lift(pk: int, *, reason: str, by: Any) -> Block | None:
    """Let somebody in again. None: there is no such block any more."""
    block = Block.objects.select_for_update().filter(pk=pk).first()  # or two would both have lifted it
    if block is None:
        return None
    note_block(block, NoteKind.UNBLOCKED, by=by, why_lifted=reason)
    details = Details(count=1, reason=reason, flag=DELETION)
    note_deed(by, Block, f"Lifted: {reason}", about=str(block), object_id=str(pk), details=details)
    block.delete()
    return block
