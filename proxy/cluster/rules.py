"""What staff set in admin, live on this node: who is blocked, whose tokens are revoked, which members a pool
has, and what products rule of topics.

Rows are read when a change is announced, and every few seconds anyway, since an announcement may be lost;
never for a handshake. While the database is away, the last rules hold.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from time import monotonic

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.db.models.signals import post_delete, post_save

from proxy.cluster.ending import end_link, hold_against
from proxy.cluster.revocation_watch import OVERLAP_SECONDS, RevocationWatch, renew
from proxy.cluster.signals import ALL_NODES, RULES, send_to_topic_sync
from proxy.cluster.topic_rules import Hold, TopicWatch
from proxy.core import closes
from proxy.core.blocking import Blocklist, BlockRule, parse_network
from proxy.core.closes import ClosedBy
from proxy.core.errors import Blocked
from proxy.core.routes import MemberSpec
from proxy.engine.hub import Hub
from proxy.engine.links.link import Link
from proxy.engine.pools.members import Member
from proxy.engine.pools.pool import Pool
from proxy.models import Block, PoolMember, Revocation
from proxy.tables.executor import DatabaseExecutor
from proxy.tables.looking import look_forever

logger = logging.getLogger(__name__)

# Two seconds are promised where no announcement comes, too, and a look takes a moment itself.
LOOK_SECONDS = 1.7
# A handshake waits this long for the first look at the rows, then goes on without.
FIRST_LOOK_SECONDS = 2.0
# A transaction that takes longer would hide what it takes back from nodes, which look for what is new.
LATE_SECONDS = OVERLAP_SECONDS / 3


@dataclass(frozen=True, slots=True)
class Rules:
    """All rows that matter, as plain values."""

    blocks: frozenset[tuple[str, str, float | None]] = frozenset()
    members: Mapping[str, tuple[MemberSpec, ...]] = field(default_factory=dict)


class StaffRules:
    """Keeps this node to the rules. `links` and `pools` are those of the node."""

    def __init__(
        self,
        database: DatabaseExecutor,
        *,
        links: Callable[[], Iterable[Link]],
        pools: Iterable[Pool],
        hold: Hold,
    ) -> None:
        self._database, self._links = database, links
        self._pools = {pool.name: pool for pool in pools if pool.upstream.editable}
        self._rules = Rules()
        self._blocklist = Blocklist()
        self.revocations = RevocationWatch(database, links=links)
        self.topics = TopicWatch(database, links=links, hold=hold)
        self._announced, self._looked = asyncio.Event(), asyncio.Event()
        # True once the rows were read: until then nobody knows who is blocked, or what is revoked.
        self.known = False

    def listen(self, hub: Hub) -> None:
        """Hear of changes, and of gaps in which some may have been lost."""
        hub.receive(RULES, lambda *_: self._announced.set())
        hub.on_gap(self._announced.set)

    async def run(self) -> None:
        """Look at the rows, now and whenever they may have changed, until cancelled."""
        async with asyncio.TaskGroup() as moves:
            await look_forever(
                partial(self._look, moves),
                seconds=LOOK_SECONDS,
                fails="rules: the database is away, the last ones hold",
                wake=self._announced,
            )

    async def ready(self) -> None:
        """Until the rows were looked at once, or that takes too long."""
        if not self._looked.is_set():
            try:
                async with asyncio.timeout(FIRST_LOOK_SECONDS):
                    await self._looked.wait()
            except TimeoutError:
                logger.warning("what staff rule is not known yet; going on without")
                self._looked.set()

    def check(self, *, user_id: str, address: str) -> None:
        """Raises Blocked if a rule keeps that client out."""
        if self._blocklist.blocks(user_id=user_id, address=address, now=time.time()):
            raise Blocked("a block matches")

    def enforce(self, link: Link) -> bool:
        """End the link if a rule keeps its client out, its token is taken back, or it is in what is closed;
        whether it has."""
        return self._end_blocked(link) or self.revocations.enforce(link) or self.topics.enforce(link)

    def _end_blocked(self, link: Link) -> bool:
        user_id, address = link.record.user_id, link.record.client_address
        if not self._blocklist.rules:
            return False
        is_blocked = self._blocklist.blocks(user_id=user_id, address=address, now=time.time())
        return is_blocked and end_link(link, closes.BLOCKED, ClosedBy.STAFF)

    async def _look(self, moves: asyncio.TaskGroup) -> None:
        rules, before = await self._database.run(load_rules), self._rules
        if rules.blocks != before.blocks:
            await self._block(rules)
        if rules.members != before.members:
            self._set_members(rules.members, moves)
        if not self.known:
            self._tell_replaced(rules.members)
        self._rules = rules
        await self.revocations.look()
        await self.topics.look()
        self.known = True
        self._looked.set()

    async def _block(self, rules: Rules) -> None:
        self._blocklist = Blocklist(filter(None, (_block_rule(*block) for block in rules.blocks)))
        await hold_against(self._links(), self._end_blocked)

    def _set_members(self, members: Mapping[str, tuple[MemberSpec, ...]], moves: asyncio.TaskGroup) -> None:
        for pool in self._pools.values():
            for member in pool.apply(members.get(pool.name) or pool.upstream.declared()):
                logger.info("member drains", extra={"pool": pool.name, "member": member.url})
            for member in pool.all_members():
                seconds = _move_seconds(member)
                if seconds is not None and member.links:
                    moves.create_task(self._move(member, seconds), name=f"move:{member.url}")

    def _tell_replaced(self, members: Mapping[str, tuple[MemberSpec, ...]]) -> None:
        """At the start, since who has changed a setting wonders why nothing came of it."""
        for pool in self._pools.values():
            urls = [spec.url for spec in members.get(pool.name, ())]
            if pool.upstream.is_replaced_by(urls):
                extra = {"pool": pool.name, "declared": list(pool.upstream.members), "in_force": urls}
                logger.warning("the members in settings are not in force: rows replace them", extra=extra)

    async def _move(self, member: Member, seconds: float) -> None:
        """End the member's links, spread out, for as long as it drains."""
        links = [link for link in self._links() if link.record.upstream == member.url]
        random.shuffle(links)
        for link in links:
            if not member.draining:
                return
            link.end(closes.MEMBER_DRAINS, ClosedBy.GATEWAY)
            await asyncio.sleep(seconds / len(links))


def _move_seconds(member: Member) -> float | None:
    """Over how long to end the member's links; None: not at all."""
    if member.removed:
        return float(settings.DRAIN_SECONDS)
    return member.spec.draining_seconds if member.spec.draining else None


def load_rules() -> Rules:
    """All blocks that still hold, and all rows of members, in two queries."""
    blocks = frozenset(_blocks())
    members: dict[str, tuple[MemberSpec, ...]] = {}
    for row in PoolMember.objects.all():
        members[row.pool] = (*members.get(row.pool, ()), _spec(row))
    return Rules(blocks, members)


def is_blocked(user_id: str, *, address: str) -> bool:
    """Whether a row keeps that user out, from everywhere or from that address; for code without a node."""
    rules = filter(None, (_block_rule(*block) for block in _blocks(user_id=user_id)))
    return Blocklist(rules).blocks(user_id=user_id, address=address, now=time.time())


def _blocks(**wanted: str) -> Iterator[tuple[str, str, float | None]]:
    rows = Block.objects.filter(Q(until=None) | Q(until__gt=Now()), **wanted)
    for user_id, network, until in rows.values_list("user_id", "network", "until"):
        yield user_id, network, until.timestamp() if until else None


def _block_rule(user_id: str, network: str, until: float | None) -> BlockRule | None:
    """The rule of one row; None, and a line in the log, for a row that no form has checked."""
    try:
        parsed = parse_network(network) if network else None
    except ValueError:
        logger.error("a block's network is none; the block is left out", extra={"network": network})
        return None
    return BlockRule(user_id=user_id, network=parsed, until=until)


def _spec(row: PoolMember) -> MemberSpec:
    return MemberSpec(
        url=row.url,
        weight=min(max(row.weight, 1), 1000),
        max_connections=row.max_connections or None,
        draining=row.draining,
        draining_seconds=row.move_seconds if row.draining else None,
    )


def announce_changes() -> None:
    """From now on, announce each row of the rules that is saved or deleted. `update()` announces nothing."""
    for model in (Block, PoolMember):
        for signal in (post_save, post_delete):
            signal.connect(_on_change, sender=model, dispatch_uid="proxy.cluster.rules")
    post_save.connect(_on_change, sender=Revocation, dispatch_uid="proxy.cluster.rules")  # many go at a time


def _on_change(**_: object) -> None:
    announce_on_commit()


def announce_on_commit() -> None:
    """Tell all nodes that rows have changed, once they are committed. Without Redis, only this process."""
    waiting = (call for _, call, _ in transaction.get_connection().run_on_commit)
    if all(getattr(call, "func", None) is not _announce for call in waiting):  # once a transaction
        transaction.on_commit(partial(_announce, monotonic()))


announce_topic_rules = announce_on_commit


def _announce(changed_at: float) -> None:
    """`changed_at`: when the first of it was written, in seconds of the monotonic clock."""
    try:
        if (since_seconds := monotonic() - changed_at) > LATE_SECONDS:
            renew(within_seconds=since_seconds + 1)
        send_to_topic_sync(ALL_NODES, {"type": RULES})
    except Exception as error:  # noqa: BLE001  nodes look by themselves; staff's change must not fail for it
        logger.warning("rules: not announced, nodes will see by themselves", extra={"why": repr(error)})
