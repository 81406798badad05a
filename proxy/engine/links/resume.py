"""An upstream leg that outlives its members: when one is lost, another is dialled in its place.

To a relay it is a leg like any other. Its `receive` dials, and says so in the client's stream; its `send`
lets messages wait meanwhile. docs/resume.md says what a client and a service may rely on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from enum import StrEnum
from random import random
from typing import ClassVar

from proxy.core import closes
from proxy.core.closes import ABNORMAL, Close, ClosedBy
from proxy.core.errors import GatewayError, LegClosed, UpstreamRefused
from proxy.core.legs import Leg, payload_bytes
from proxy.core.limits import LinkLimits
from proxy.core.resuming import Phase, Resumption, is_loss, notice
from proxy.engine.links.relay import Relay
from proxy.engine.pools.dial import Dial, DialRequest, Target
from proxy.engine.pools.pool import MemberLease
from proxy.engine.pools.upstream_leg import UpstreamLeg

logger = logging.getLogger(__name__)

Dialling = Callable[[Dial[UpstreamLeg]], Awaitable[MemberLease[UpstreamLeg]]]


class Reconnected(StrEnum):
    """How one outage of a link ended; the values are metric labels."""

    CONNECTED = "connected"
    LOST = "lost"  # the time was up
    ABANDONED = "abandoned"  # the link ended meanwhile: the client left, or was closed


class RenewableLease:
    """The use of whichever member serves the link now: like a MemberLease, but it can be renewed.

    `dialling` leases a member of the same pool, dialled as it is told. Once released and until renewed it
    holds none; `leg` and `member` are those of the last one.
    """

    __slots__ = ("_dial", "_dialling", "_lease", "_subprotocol", "is_held")

    def __init__(
        self, lease: MemberLease[UpstreamLeg], *, dial: Dial[UpstreamLeg], dialling: Dialling
    ) -> None:
        self._lease, self._dial, self._dialling = lease, dial, dialling
        self.is_held = True
        self._subprotocol = lease.leg.subprotocol

    @property
    def leg(self) -> UpstreamLeg:
        return self._lease.leg

    @property
    def member(self) -> str:
        return self._lease.member

    def release(self, *, lost: bool = False) -> None:
        """Give the use of the member back, if any is held; `lost`: it went without a close."""
        if self.is_held:
            self.is_held = False
            self._lease.release(lost=lost)

    async def renew(self) -> None:
        """Lease and dial another member. Raises as `Pool.dial` does."""
        self._lease = await self._dialling(self._dial_alike)
        self.is_held = True

    async def _dial_alike(self, target: Target, request: DialRequest) -> UpstreamLeg:
        """Ask for what the first member chose: the client was told so, and cannot be told otherwise."""
        chosen = self._subprotocol
        leg = await self._dial(target, replace(request, subprotocols=() if chosen is None else (chosen,)))
        if leg.subprotocol != chosen:
            leg.abort()
            raise UpstreamRefused("it does not choose the sub-protocol that the link has")
        return leg


class ResumingRelay(Relay):
    """A relay to a `ResumingLeg`."""

    __slots__ = ()
    bounds_sends_up: ClassVar[bool] = False


class ResumingLeg(Leg):
    """The upstream side of a link that may be carried over to other members.

    `tell` puts a notice of each change into what the client receives. `observe` hears how each outage ended.
    Nothing runs once `close` has returned; after `abort`, as soon as the loop turns.
    """

    def __init__(
        self,
        lease: RenewableLease,
        *,
        limits: LinkLimits,
        tell: bool,
        observe: Callable[[Reconnected], None],
    ) -> None:
        self._lease, self._limits, self._tell, self._observe = lease, limits, tell, observe
        self._loop = asyncio.get_running_loop()
        self._state = Resumption(window_seconds=limits.reconnect_seconds, max_bytes=limits.outbox_bytes)
        self._notices: deque[str] = deque()
        self._room = asyncio.Event()
        self._flushing: asyncio.Task[None] | None = None

    # --- From the members to the client -----

    async def receive(self) -> str | bytes:
        """The next message of whichever member there is, or a notice. Raises LegClosed if none is left."""
        while not self._notices:
            if self._state.phase is Phase.CONNECTED:
                try:
                    return await self._lease.leg.receive()
                except LegClosed as ended:
                    if not is_loss(ended.close, ended.by):
                        raise
                    self._lose(ended.close)
            elif self._state.phase is Phase.RECONNECTING:
                await self._try_to_reconnect()
            else:
                raise LegClosed(closes.UPSTREAM_LOST, by=ClosedBy.UPSTREAM)
        return self._notices.popleft()

    def _lose(self, close: Close) -> None:
        """All that the member said has been received, and it is gone."""
        logger.info("member lost", extra={"member": self._lease.member, "code": close.code})
        self._end_flush()
        self._lease.release(lost=close.code == ABNORMAL)
        self._state.lost(self._loop.time())
        self._say(Phase.RECONNECTING)

    async def _try_to_reconnect(self) -> None:
        delay_seconds = self._state.next_delay_seconds(self._loop.time(), random=random())  # noqa: S311
        if delay_seconds is None:
            self._observe(Reconnected.LOST)
            self._say(Phase.LOST)
            return
        await asyncio.sleep(delay_seconds)
        try:
            async with asyncio.timeout(self._state.left_seconds(self._loop.time())):
                await self._lease.renew()
        except (GatewayError, TimeoutError) as error:
            logger.debug("no other member", extra={"why": str(error)})
            return
        self._state.connected(self._loop.time())
        self._observe(Reconnected.CONNECTED)
        self._say(Phase.CONNECTED)
        if not self._state.backlog.is_empty:
            self._flushing = self._loop.create_task(self._flush(self._lease.leg), name="pump:backlog")
        self._room.set()

    def _say(self, phase: Phase) -> None:
        if self._tell:
            self._notices.append(notice(phase))

    # --- From the client to the members -----

    async def send(self, message: str | bytes) -> None:
        """Hand `message` over, once, or let it wait for the next member; waits itself while too much does."""
        state, size = self._state, payload_bytes(message)
        while not state.backlog.fits(size):
            self._room.clear()
            await self._room.wait()
        if state.flows and self._lease.leg.is_open:
            await self._hand_over(self._lease.leg, message)
        else:
            state.backlog.put(message, size)

    async def _flush(self, leg: UpstreamLeg) -> None:
        """Hand over what waits, in order; what `leg` does not live to get goes on waiting."""
        backlog = self._state.backlog
        try:
            while not backlog.is_empty and leg.is_open:
                message = backlog.take()
                self._room.set()
                await self._hand_over(leg, message)
        except Exception:
            logger.exception("the backlog cannot be handed over")
            leg.abort()

    async def _hand_over(self, leg: UpstreamLeg, message: str | bytes) -> None:
        """Write `message` to an open leg before anything else happens: from here on it is never sent again.

        That it was lost with its member, or that the member takes nothing, is for `receive` to find.
        """
        try:
            async with asyncio.timeout(self._limits.slow_consumer_seconds):
                await leg.send(message)
        except TimeoutError:
            leg.abort()
        except LegClosed:
            pass

    # --- The end -----

    @property
    def unsent_bytes(self) -> int:
        return self._lease.leg.unsent_bytes if self._lease.is_held else 0

    async def close(self, close: Close) -> None:
        """Hand over what waits, if there is a member, and close its leg; the caller sets the deadline."""
        self._abandon()
        if self._flushing is not None:
            await asyncio.wait({self._flushing})
        if self._lease.is_held:
            await self._lease.leg.close(close)

    def abort(self) -> None:
        """Drop the member's leg at once."""
        self._abandon()
        self._end_flush()
        if self._lease.is_held:
            self._lease.leg.abort()

    def _abandon(self) -> None:
        if self._state.phase is Phase.RECONNECTING:
            self._state.phase = Phase.LOST
            self._observe(Reconnected.ABANDONED)

    def _end_flush(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
