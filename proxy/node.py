"""What one gateway process keeps running: its node, hub, recorder, pools and live links."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer
from django.conf import settings

from proxy import metrics, registry
from proxy import work as product_work
from proxy.cluster import signals
from proxy.cluster.asking import Answering
from proxy.cluster.catching_up import CatchingUp
from proxy.cluster.closing import Closings, end_if_live, tell_replaced
from proxy.cluster.comings import Comings
from proxy.cluster.figures import Figures
from proxy.cluster.kick_watch import KickWatch
from proxy.cluster.presence import Roll
from proxy.cluster.publishing import encode_event
from proxy.cluster.rules import StaffRules
from proxy.cluster.shipping import Shipper, tend_forever
from proxy.cluster.taps import Taps
from proxy.core.causes import Cause
from proxy.core.errors import GatewayError, UpstreamUnavailable
from proxy.core.records import ConnectionRecord
from proxy.core.refusal_records import RefusalRecord
from proxy.core.secrets_in_text import Secrets
from proxy.core.topics import EVERYONE, check_topic, node_topic
from proxy.core.wire.control_messages import encode
from proxy.engine.admission.caps import Admission
from proxy.engine.admission.door import Door
from proxy.engine.background import Background, Work
from proxy.engine.batch_writer import BatchWriter, Write
from proxy.engine.hub import Hub
from proxy.engine.lag import LoopLag
from proxy.engine.link_event_recorder import LinkEventRecorder
from proxy.engine.links.link import Link
from proxy.engine.links.traffic import count_forever
from proxy.engine.pools.pool import Pool
from proxy.engine.pools.probes import probe_forever
from proxy.engine.recorder import Recorder
from proxy.engine.refusal_recorder import RefusalRecorder
from proxy.engine.slow_turns import SlowTurns
from proxy.env import env
from proxy.equipment import link_limits, redis_for_all, script_in_redis, tracing_of, webhook_of
from proxy.gauges import Gauges
from proxy.served import serve_routes
from proxy.tables.executor import DatabaseExecutor
from proxy.tables.heart import NodeHeart, Reaper
from proxy.tables.member_rows import MemberReporter
from proxy.tables.record_rows import CONNECTIONS, LINK_EVENTS, REFUSALS, R, RecordTable
from proxy.tables.retention import Retention
from proxy.tokens import token_verifier
from proxy.work import Workplace

logger = logging.getLogger(__name__)

_CUT_SECONDS = 1.0
# With a link's id it makes a lease of 49 letters: Redis keeps sets of up to 64 in a fifth of the memory.
_ID_BYTES = 8
RESYNC = encode(type="gateway.resync", reason="events may have been lost")


class GatewayNode:
    """Created and started once an event loop; `stop()` leaves nothing running and no record open."""

    def __init__(self) -> None:
        self.node_id = secrets.token_hex(_ID_BYTES)
        self.limits = link_limits()
        self.links: dict[str, Link] = {}
        self.no_links = asyncio.Event()
        self.no_links.set()
        self.door = Door(most_links=settings.MAX_CONNECTIONS)
        self.verifier = token_verifier()
        self.background = Background()
        # A heartbeat waits for no slow query of another kind: the node would be taken for lost.
        self.database, self._heart_database = DatabaseExecutor(), DatabaseExecutor()
        self.recorder = Recorder(self._writer_of(CONNECTIONS), progress=self._progress)
        self.refusals = RefusalRecorder(self._writer_of(REFUSALS))
        self.link_events = LinkEventRecorder(self._writer_of(LINK_EVENTS))
        self.webhook = webhook_of(self.node_id) if settings.WEBHOOK_URL else None
        self.comings = Comings(registry.topic_kinds(), self.links)
        self._reaper, self.lag = Reaper(on_lost=self.comings.lost), LoopLag()
        self.heart = self._make_heart()
        self.served = serve_routes(registry.served(), limits=self.limits)
        self.admission = self._make_admission()
        self.rules = self._make_rules()
        self.kicks = KickWatch(self.database, node_id=self.node_id, links=self.links.values)
        self.reporter = MemberReporter(self.database, node_id=self.node_id, pools=self.pools())
        self._closings = Closings(links=self.links, admission=self.admission, kicks=self.kicks)
        self.answering = Answering(get_channel_layer().store)
        self.taps = self._make_taps()
        self.shipper = Shipper(get_channel_layer().store, self.database, node_id=self.node_id)
        self.hub = self._make_hub()
        self.catching_up = CatchingUp(get_channel_layer(), self.hub)
        self.subscriber, self.commands = redis_for_all(settings.REDIS_URL)
        self.figures = self._make_figures()
        self.tracing = tracing_of(self.node_id) if settings.TRACES_ENDPOINT else None

    def _writer_of(self, table: RecordTable[R]) -> Write[R]:
        """What writes records of this node to that table."""
        return partial(table.record, database=self.database, node_id=self.node_id)

    def _make_heart(self) -> NodeHeart:
        return NodeHeart(
            self._heart_database,
            node_id=self.node_id,
            is_draining=lambda: self.door.draining,
            on_told_to_drain=self._told_to_drain,
            on_returned=self.recorder.note_all,
            may_reap=self._reaper.wake,
        )

    def _make_hub(self) -> Hub:
        """What delivers to the links of this node, and brings others' messages to whom they concern."""
        hub = Hub(get_channel_layer(), own_topic=node_topic(self.node_id))
        hub.listen(signals.ALL_NODES)
        roll = Roll(self.answering, live=self.links)
        for party in (
            self.answering,
            roll,
            self.comings,
            self.shipper,
            self.rules,
            self.kicks,
            self._closings,
            self.taps,
        ):
            party.listen(hub)
        hub.receive(signals.DRAIN, lambda *_: self._told_to_drain())
        hub.on_gap(partial(hub.deliver, EVERYONE, RESYNC))
        return hub

    def _make_taps(self) -> Taps:
        return Taps(
            self.links,
            self.answering,
            self.database,
            store=get_channel_layer().store,
            secrets=Secrets(settings.TAP_REDACT),
            is_draining=lambda: self.door.draining,
        )

    def _make_rules(self) -> StaffRules:
        """What keeps this node to what staff say."""
        return StaffRules(
            self.database, links=self.links.values, pools=self.pools(), hold=self.admission.hold_places
        )

    def _make_admission(self) -> Admission:
        """What counts the links of this node; in Redis, too, where there is one."""
        return Admission(
            node_id=self.node_id,
            replace=self._replace,
            replace_oldest=settings.CONNECTION_CAP_POLICY == "replace_oldest",
            run_script=script_in_redis() if settings.REDIS_URL else None,
        )

    def _make_figures(self) -> Figures:
        return Figures(
            self.commands,
            settings.REDIS_URL,
            self.database,
            node_id=self.node_id,
            name=self.heart.name,
            state=lambda: "draining" if self.door.draining else "running",
        )

    async def start(self) -> None:
        """Start all background work; returns at once, whatever of it cannot be reached yet."""
        for name, meant in env.misspelt().items():
            logger.warning("a variable is set that nothing reads", extra={"variable": name, "meant": meant})
        self._begin_counts()
        for name, work in (*self._work(), *self._product_work()):
            self.background.start(name, work, ends_last=name == "commands")  # that others tell at their end

    def _begin_counts(self) -> None:
        """What an alert looks for once is told as 0 till then: a rise from nothing is none to Prometheus."""
        metrics.child(metrics.EVENTS_TOTAL, "waiting", "expired")
        for name in self.served:
            metrics.child(metrics.CLOSES_TOTAL, name, Cause.GATEWAY_FAILED.value)
            metrics.child(metrics.REJECTIONS_TOTAL, name, GatewayError.code)
        for pool in self.pools():
            metrics.child(metrics.ERRORS_TOTAL, UpstreamUnavailable.code, pool.name)

    def _work(self) -> Iterator[tuple[str, Work]]:
        """The node's own background work, by the name that logs and metrics know it by."""
        yield from self._work_on_tables()
        yield from self._work_with_nodes()
        yield "lag", self.lag.run
        if settings.SLOW_TURN_SECONDS:
            yield "slow turns", SlowTurns(seconds=settings.SLOW_TURN_SECONDS).run
        yield "gauges", self._gauges().run
        yield "traffic", partial(count_forever, self.links.values)
        for pool in self.pools():
            yield f"probes:{pool.name}", partial(probe_forever, pool)
        if self.verifier.jwks is not None:
            yield "jwks", self.verifier.jwks.run
        if self.webhook is not None:
            yield "webhook", self.webhook.run
            yield "webhook:members", partial(self.webhook.watch, self.pools)

    def _work_on_tables(self) -> Iterator[tuple[str, Work]]:
        yield "node", self.heart.run
        yield "reaper", self._reaper.run
        yield "recorder", self.recorder.run
        yield "refusals", self.refusals.run
        yield "link events", self.link_events.run
        yield "rules", self.rules.run
        yield "kicks", self.kicks.run
        yield "members", self.reporter.run
        yield "shipper", self.shipper.run
        yield "waiting", partial(tend_forever, self.database, wait_seconds=settings.EVENT_WAIT_SECONDS)
        if settings.RECORD_RETENTION_DAYS:
            yield "retention", Retention(node_id=self.node_id, days=settings.RECORD_RETENTION_DAYS).run

    def _work_with_nodes(self) -> Iterator[tuple[str, Work]]:
        """What speaks to others, by the channel layer or the Redis."""
        yield "hub", self.hub.run
        yield from self.figures.work()
        yield "answers", self.answering.run
        yield "taps", self.taps.run
        if self.comings.is_wanted:
            yield "comings", self.comings.run
        if self.admission.shared is not None:
            yield "leases", self.admission.shared.run
        if self.subscriber is not None:
            yield "subscriber", self.subscriber.run
        if self.commands is not None:
            yield "commands", self.commands.run

    def _product_work(self) -> Iterator[tuple[str, Work]]:
        place = Workplace(
            deliver=self._deliver_here,
            resync=partial(self.hub.deliver_to_any, text=RESYNC),
            watch=self.hub.watch,
            run_in_database=self.database.run,
            subscriber=self.subscriber,
            commands=self.commands,
        )
        for name, work in product_work.told().items():
            yield f"product:{name}", partial(product_work.run, name, work, place)

    def _deliver_here(self, topic: str, event: Mapping[str, Any]) -> None:
        self.hub.deliver(check_topic(topic, registry.topic_kinds()), encode_event(event))

    def drains(self) -> None:
        """No link may come from now on, and no page of staff listen: its stream would never end by itself."""
        self.door.draining = True
        self.figures.live.end()
        self.taps.readers.end()

    async def stop(self, *, deadline_seconds: float = 8.0) -> None:
        """Wait for links that are ending, write what the record still lacks, and leave."""
        self.drains()
        if not await self._links_end_within(deadline_seconds / 2):
            logger.warning("links do not end and are cut", extra={"links": len(self.links)})
            for link in tuple(self.links.values()):
                link.abort()
            await self._links_end_within(_CUT_SECONDS)
        await self.background.stop()
        if self.admission.shared is not None:
            await self.admission.shared.leave()
        writers: tuple[BatchWriter[Any], ...] = (self.recorder, self.refusals, self.link_events)
        if self.webhook is not None:
            writers += (self.webhook,)
        await asyncio.gather(*(each.close(deadline_seconds / 2) for each in writers))
        await self.heart.stop()
        if self.tracing is not None:
            await self.tracing.stop()
        await asyncio.gather(self.database.close(), self._heart_database.close())

    async def cut(self) -> None:
        """End all links with 1001 at once, and leave: for a server that cannot drain."""
        for link in tuple(self.links.values()):
            link.abort()
        await self.stop()

    async def _links_end_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self.no_links.wait()
        except TimeoutError:
            return False

    def _gauges(self) -> Gauges:
        return Gauges(
            writers=(self.recorder, self.refusals, self.link_events),
            refusals=self.refusals,
            door=self.door,
            lag=self.lag,
            heart=self.heart,
            hub=self.hub if settings.REDIS_URL else None,
            jwks=self.verifier.jwks,
            links=self.links.values,
            pools=self.pools,
        )

    def pools(self) -> tuple[Pool, ...]:
        """The pools of all registered routes."""
        return tuple(dict.fromkeys(each.pool for each in self.served.values() if each.pool is not None))

    def opened(self, link: Link) -> None:
        """The link is accepted and live from now on."""
        self.links[link.id] = link
        self.no_links.clear()
        # A block or a kick may have come while it was dialled.
        self.rules.enforce(link)
        self.kicks.opened(link)
        self.comings.opened(link)
        if self.webhook is not None:
            self.webhook.opened(link.record)

    def closed(self, link: Link) -> None:
        self.links.pop(link.id, None)
        self.taps.closed(link)
        self.comings.closed(link)
        if self.webhook is not None:
            self.webhook.closed(link.record)
        if not self.links:
            self.no_links.set()

    def refused(self, record: RefusalRecord) -> None:
        """A client was not let in."""
        self.refusals.note(record)
        if self.webhook is not None:
            self.webhook.refused(record)

    def _progress(self) -> Iterator[ConnectionRecord]:
        """Every live link's record, its counters brought up to date."""
        for link in tuple(self.links.values()):
            self.update_record(link)  # walked over seconds
            yield link.record

    def update_record(self, link: Link) -> None:
        """Bring its counters up to date, and note what was dropped."""
        now = datetime.now(UTC)
        dropped = link.update_record(now=now, loop_time=asyncio.get_running_loop().time())
        if dropped:
            self.link_events.dropped_messages(link.record, dropped, at=now)

    def _told_to_drain(self) -> None:
        logger.info("told to drain")
        self.door.drain()

    async def _replace(self, node_id: str, link_id: str) -> None:
        """End a link of that node because its user has opened a newer one."""
        if node_id == self.node_id:
            end_if_live(self.links, link_id)
        else:
            await tell_replaced(node_id, link_id)


_nodes: WeakKeyDictionary[asyncio.AbstractEventLoop, GatewayNode] = WeakKeyDictionary()


async def start_node() -> GatewayNode:
    """Make and start the running event loop's node; the caller stops it."""
    node = _nodes[asyncio.get_running_loop()] = GatewayNode()
    await node.start()
    return node


async def running_node() -> GatewayNode:
    """The running event loop's node; made and started at first use, for servers without a start hook."""
    node = _nodes.get(asyncio.get_running_loop())
    if node is None:
        node = await start_node()
    return node


def node_here() -> GatewayNode | None:
    """The running event loop's node, if it was started."""
    return _nodes.get(asyncio.get_running_loop())
