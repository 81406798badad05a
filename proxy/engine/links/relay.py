"""Joining two legs message by message, for servers that do not offer a splice."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any, ClassVar, NoReturn

from proxy import metrics
from proxy.core import closes
from proxy.core.buckets import Bucket
from proxy.core.closes import Close, ClosedBy
from proxy.core.errors import GatewayError, LegClosed
from proxy.core.events import Event, Pushed
from proxy.core.farewells import last_words
from proxy.core.hook_failures import HookFailed, calling_hook
from proxy.core.legs import Leg, payload_bytes
from proxy.core.limits import CONTROL_MESSAGE_RATE, OverRate
from proxy.core.policies import Judge, Verdict, check, judges
from proxy.core.wire.control_messages import is_control
from proxy.engine.links.outbox import Outbox, OutboxFull
from proxy.engine.links.resting import Rests
from proxy.engine.links.terms import Terms
from proxy.engine.links.wheel import NOT_DUE, running_wheel
from proxy.engine.unsent import MOST_TIMEOUTS, still_moves

logger = logging.getLogger(__name__)

# Messages of one end that are passed on until others have their turn.
_TURN_MESSAGES = 32
# How long a client may take to take its last words; its close waits for them.
LAST_WORDS_SECONDS = 1.0

Pump = Callable[[], Awaitable[None]]


class Relay:
    """One link's two legs, and the pumps between them. `run()` once.

    A link without traffic ends after the idle timeout.
    """

    __slots__ = (
        "_began_at", "_cancelled", "_context", "_controls", "_counters", "_downstream", "_ended",
        "_from_client", "_from_service", "_has_client_closed", "_has_service_spoken", "_judge_in",
        "_judge_out", "_limits", "_loop", "_outbox", "_running", "_send_up_seconds", "_telling", "_terms",
        "_upstream", "slot",
    )  # fmt: skip
    gathers = False
    # Whether an upstream that takes no message in time ends the link; one that resumes sees to it itself.
    bounds_sends_up: ClassVar[bool] = True

    def __init__(self, downstream: Leg, upstream: Leg, terms: Terms) -> None:
        self._downstream, self._upstream = downstream, upstream
        self._terms, self._limits, self._counters = terms, terms.limits, terms.counters
        self._judge_in, self._judge_out = judges(terms.policy)
        self._send_up_seconds = terms.limits.slow_consumer_seconds if self.bounds_sends_up else None
        max_bytes = self._limits.max_message_bytes
        self._from_client, self._from_service = (
            Rests(leg, max_bytes=max_bytes) for leg in (downstream, upstream)
        )
        self._has_client_closed = self._has_service_spoken = False
        self._controls: Bucket | None = None  # until there is a control message
        # There are an outbox and a task for it only while something waits.
        self._outbox: Outbox[Event | Pushed] | None = None
        self._telling: asyncio.Task[None] | None = None
        self._loop, self.slot = asyncio.get_running_loop(), NOT_DUE
        self._context = copy_context()  # who injects is another task, and log lines would name its link
        self._ended: LegClosed | None = None
        self._running: asyncio.Task[Any] | None = None  # the task of `run`, while it pumps
        self._cancelled = 0  # how often, at its end: a task group that failed leaves one behind

    def inject(self, *events: Event) -> None:
        for event in events:
            if self._ended is None:  # it ends once that is too much
                self._put(event, payload_bytes(event.text))

    def _put(self, waiting: Event | Pushed, size_bytes: int) -> None:
        """Have the client sent that, behind all that waits; or end the link of one that does not keep up."""
        if self._outbox is None:
            self._outbox = Outbox(max_bytes=self._limits.outbox_bytes, overflow=self._terms.overflow)
        try:
            self._outbox.put(waiting, size_bytes)
        except OutboxFull:
            self._count_slow()
            self.end(closes.SLOW_CONSUMER, ClosedBy.GATEWAY)
            return
        self._tell_soon()

    def _tell_soon(self) -> None:
        if self._telling is None:
            self._telling = self._start("events", self._tell, closes.SLOW_CONSUMER)

    def end(self, close: Close, by: ClosedBy) -> bool:
        if self._ended is not None:
            return False
        self._ended = LegClosed(close, by=by)
        if self._running is not None:
            self._cancelled = self._running.cancelling()
            self._running.cancel()
        return True

    def abort(self) -> None:
        self._upstream.abort()

    @property
    def buffered_bytes(self) -> int:
        return 0 if self._outbox is None else self._outbox.buffered_bytes

    async def run(self) -> LegClosed:
        """Pump until one leg closes or `end()`, then close both. No task outlives this call.

        Returns how it ended: the close as received (1005: empty, 1006: lost), and by whom.
        """
        running = self._running = asyncio.current_task()
        assert running is not None  # noqa: S101  a coroutine has one
        up = self._start("up", self._pump_up, closes.UPSTREAM_FAILED)
        self._began_at = self._loop.time()
        self.look(self._began_at)
        try:
            if self._ended is None:  # pump down in this very task: an idle link has one less then
                await self._pump_down()
        except asyncio.CancelledError:
            if self._ended is None or running.uncancel() > self._cancelled:  # it was not `end` alone
                self._upstream.abort()  # nobody is left to see it off
                raise
        except Exception as error:  # noqa: BLE001  however a pump fails is an end of the link
            await self._fail_here(error, running)
        finally:
            await self._stop_pumps(up)
        assert self._ended is not None  # noqa: S101  no pump ends without a reason
        await self._close_both(self._ended)
        return self._ended

    async def _fail_here(self, error: Exception, running: asyncio.Task[Any]) -> None:
        """The pump of this task has failed, by itself or behind an `end` whose cancellation is still due."""
        self._running = None
        if self._ended is not None:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
            if running.uncancel() > self._cancelled:
                raise asyncio.CancelledError
        self._fail(error, closes.SLOW_CONSUMER)

    async def _stop_pumps(self, up: asyncio.Task[None]) -> None:
        self._running = None
        running_wheel().forget(self)
        pumps = [up] if self._telling is None else [up, self._telling]
        for pump in pumps:
            pump.cancel()
        await asyncio.wait(pumps)

    def _start(self, name: str, pump: Pump, stalled: Close) -> asyncio.Task[None]:
        guarded = self._guard(pump, stalled)
        return self._loop.create_task(guarded, name=f"pump:{name}", context=self._context)

    async def _guard(self, pump: Pump, stalled: Close) -> None:
        try:
            await pump()
        except Exception as error:  # noqa: BLE001  however a pump fails is an end of the link
            self._fail(error, stalled)

    def _fail(self, error: Exception, stalled: Close) -> None:
        """Let a pump's failure end the link; `stalled` is for a leg that takes nothing."""
        if isinstance(error, LegClosed):
            self.end(error.close, error.by)
        elif isinstance(error, TimeoutError):
            if stalled is closes.SLOW_CONSUMER:
                self._count_slow()
            self.end(stalled, ClosedBy.GATEWAY)
        elif isinstance(error, GatewayError):
            if isinstance(error, HookFailed):
                self._terms.life.failed(error)
            self.end(error.as_close(), ClosedBy.GATEWAY)
        else:
            logger.error("a link failed", exc_info=error)
            self.end(closes.INTERNAL_ERROR, ClosedBy.GATEWAY)

    async def _pump_up(self) -> NoReturn:
        counters, limits = self._counters, self._limits
        for turn in itertools.count(1):
            self._stop_if_over()
            if turn % _TURN_MESSAGES == 0:
                await asyncio.sleep(0)
            message = await self._receive_down()
            counters.last_activity = self._loop.time()
            size = payload_bytes(message)
            if size > limits.max_message_bytes:
                raise LegClosed(closes.too_big(ClosedBy.CLIENT), by=ClosedBy.GATEWAY)
            if await self._takes_control(message):
                continue
            counters.messages_in += 1
            counters.bytes_in += size
            if not await self._lets_in(size):
                continue
            judged = await self._judged(self._judge_in, message, sender=ClosedBy.CLIENT)
            if judged is not None:
                async with asyncio.timeout(self._send_up_seconds):
                    await self._upstream.send(judged)
        raise AssertionError("counting does not end")

    def _stop_if_over(self) -> None:
        """A leg may have taken its pump's cancellation for nothing: `asyncio.wait_for` does, now and then."""
        if self._ended is not None or self._running is None:
            raise asyncio.CancelledError

    async def _receive_down(self) -> str | bytes:
        try:
            return await self._from_client.receive()
        except LegClosed:
            self._has_client_closed = True
            raise

    async def _takes_control(self, message: str | bytes) -> bool:
        """Whether it was for the gateway; the next message is not read before such a one may come again."""
        if not self._terms.control or not isinstance(message, str) or not is_control(message):
            return False
        if self._controls is None:
            self._controls = Bucket(CONTROL_MESSAGE_RATE)
        await self._answer(self._terms.life.control(message))
        await asyncio.sleep(self._controls.charge(self._loop.time(), tokens=1))
        return True

    async def _lets_in(self, size_bytes: int) -> bool:
        """Ask the gate about a message of the client: it waits, or goes no further. Raises LegClosed."""
        gate = self._terms.gate
        if gate is None:
            return True
        while True:
            granted, seconds = gate.grant(self._loop.time(), most=1)
            if granted:
                gate.charge(self._loop.time(), size_bytes)
                return True
            if gate.over is not OverRate.WAIT:
                break
            await asyncio.sleep(seconds)
        self._counters.messages_dropped += 1
        verdict = gate.refuse(self._loop.time(), messages=1, size_bytes=size_bytes)
        await self._obey(verdict, sender=ClosedBy.CLIENT)
        return False

    def look(self, now: float) -> None:
        """End the link if nothing has crossed it for the idle timeout; else the wheel calls again by then."""
        idle_at = max(self._counters.last_activity, self._began_at) + self._limits.idle_timeout_seconds
        if idle_at > now:
            running_wheel().schedule(self, idle_at)
        else:
            self.end(closes.IDLE, ClosedBy.GATEWAY)

    async def _pump_down(self) -> NoReturn:
        for turn in itertools.count(1):
            self._stop_if_over()
            if turn % _TURN_MESSAGES == 0:
                await asyncio.sleep(0)
            received = await self._from_service.receive()
            self._counters.last_activity = self._loop.time()
            message = await self._judged(self._judge_out, received, sender=ClosedBy.UPSTREAM)
            if message is None:
                continue
            await self._send_down(message)
            self._has_service_spoken = True
        raise AssertionError("counting does not end")

    async def _judged(
        self, judge: Judge | None, message: str | bytes, *, sender: ClosedBy
    ) -> str | bytes | None:
        """What the policy makes of a message: itself, another, or None. Raises GatewayError, LegClosed."""
        if judge is None:
            return message
        is_text = isinstance(message, str)
        with calling_hook("policy"):
            payload = message.encode() if isinstance(message, str) else message
            verdict = judge(payload, is_text=is_text)
            check(verdict, is_text=is_text)
        await self._obey(verdict, sender=sender)
        if not verdict.forward:
            return None
        if verdict.payload is None:
            return message
        return verdict.payload.decode() if is_text else verdict.payload

    async def _obey(self, verdict: Verdict, *, sender: ClosedBy) -> None:
        """Do what a verdict on a message says, beside what becomes of that."""
        if verdict.reply is not None and sender is ClosedBy.CLIENT:
            await self._answer(verdict.reply)
        elif verdict.reply is not None:
            await self._answer_service(verdict.reply)
        if verdict.close is not None:
            raise LegClosed(verdict.close, by=ClosedBy.GATEWAY)
        if verdict.pause_seconds:
            source = self._from_client if sender is ClosedBy.CLIENT else self._from_service
            source.rest(verdict.pause_seconds)

    async def _answer(self, reply: str) -> None:
        """Answer the client; one that does not read that has itself to blame."""
        try:
            await self._send_down(reply)
        except TimeoutError:
            self._count_slow()
            raise LegClosed(closes.SLOW_CONSUMER, by=ClosedBy.GATEWAY) from None

    async def _answer_service(self, reply: str) -> None:
        """As above."""
        try:
            async with asyncio.timeout(self._limits.slow_consumer_seconds):
                await self._upstream.send(reply)
        except TimeoutError:
            raise LegClosed(closes.UPSTREAM_FAILED, by=ClosedBy.GATEWAY) from None

    async def _tell(self) -> None:
        """Send what waits in the outbox, until nothing does."""
        while self._outbox is not None and not self._outbox.is_empty:
            await self._send_down(self._outbox.take().text)
        self._outbox = self._telling = None

    async def _send_down(self, message: str | bytes) -> None:
        """Send to the client, and count what it was sent. Raises TimeoutError if it does not keep up."""
        async with asyncio.timeout(self._limits.slow_consumer_seconds):
            await self._downstream.send(message)
        counters = self._counters
        counters.last_activity = self._loop.time()
        counters.messages_out += 1
        counters.bytes_out += payload_bytes(message)

    def _count_slow(self) -> None:
        metrics.child(metrics.SLOW_CONSUMERS_TOTAL, self._terms.route).inc()

    async def _close_both(self, ended: LegClosed) -> None:
        """Tell each end that has not closed by itself."""
        lost = closes.CLIENT_LOST if ended.by is ClosedBy.CLIENT else closes.UPSTREAM_LOST
        close = ended.close.for_wire(lost=lost)
        async with asyncio.TaskGroup() as tasks:
            if not self._has_client_closed:  # who waits still, though a leg may say that it was the client
                tasks.create_task(self._close_downstream(close, ended.by), name="close:down")
            tasks.create_task(self._close(self._upstream, close), name="close:up")

    async def _close_downstream(self, close: Close, by: ClosedBy) -> None:
        """Close the client's leg; where that is for good, its route's last words come first."""
        hears = self._has_service_spoken and close != closes.SLOW_CONSUMER
        failed = self._terms.life.failed
        words = last_words(self._terms.farewell, close, by, failed=failed) if hears else ()
        with suppress(Exception):  # each server's own at a client that is gone; both ends get their close
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                for text in words:
                    await self._downstream.send(text)
        await self._close(self._downstream, close)

    async def _close(self, leg: Leg, close: Close) -> None:
        """A close that is not answered in time ends the leg, unless what came before it gets through."""
        unsent = leg.unsent_bytes
        for _ in range(MOST_TIMEOUTS):
            try:
                async with asyncio.timeout(self._limits.close_timeout_seconds):
                    await leg.close(close)
                    return
            except LegClosed:
                break
            except TimeoutError:
                before, unsent = unsent, leg.unsent_bytes
                if not still_moves(unsent, before):
                    break
            except HookFailed as error:
                self._terms.life.failed(error)
                break
            except Exception as error:  # each server's own
                logger.warning("a leg failed at its close", exc_info=error)
                break
        leg.abort()
