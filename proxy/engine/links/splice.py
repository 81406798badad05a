"""Join a client's leg and a service's leg: bytes cross as they are, and both ends end together.

How it ends (RFC 6455, sections 5.5.1 and 7):

- One end closes: it is answered at once, and the other gets the same code and reason, after all data that
  came before. Its answer is awaited, at most `close_timeout_seconds`; then what is left is aborted. With the
  client, TCP is closed as soon as both close frames are out (Unity waits for that).
- One end is lost without a close frame, or leaves pings unanswered: the service is told 1001 `client lost`,
  the client 1011 `upstream lost`.
- The client breaks the protocol, or its message is too big: both get the same 1002, 1007 or 1009.
- The upstream does: it gets that code; the client gets 1009 if its message was too big, else 1011.
- The gateway ends it (kick, expiry, drain, idle, slow consumer): both get the same code and reason. An
  upstream that does not read is the upstream's failure: 1011.
- Where that is for good, the route may have last words for the client: whole messages before its close frame.

A close frame never cuts a frame in two: it waits for the end of the frame under way. If that cannot come any
more, the socket is closed without one. Inside a message in fragments there are no last words.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial

from proxy import metrics
from proxy.core import closes
from proxy.core.closes import Close, ClosedBy
from proxy.core.errors import GatewayError
from proxy.core.events import Event
from proxy.core.farewells import last_words
from proxy.core.hook_failures import HookFailed, failure_of
from proxy.core.limits import LinkLimits, OverRate
from proxy.core.message_gate import MessageGate
from proxy.core.policies import DROP, FORWARD, Verdict, check, judges
from proxy.core.wire.framing import encode_frame, text_frame
from proxy.core.wire.headers import TEXT, Violation
from proxy.core.wire.messages import Message
from proxy.engine.links.gated_leg import GatedLeg, InspectedLeg
from proxy.engine.links.scanners import scanner
from proxy.engine.links.spliced_leg import HIGH_WATER_BYTES, LOW_WATER_BYTES, SplicedLeg
from proxy.engine.links.terms import End, Life, SpliceRequest
from proxy.engine.links.told import ToldLeg, ToldSplice
from proxy.engine.links.wheel import NOT_DUE, running_wheel
from proxy.engine.pools.rawdial import RawUpstream
from proxy.engine.unsent import MOST_TIMEOUTS, finish, still_moves, unsent_bytes

# How often a link is looked at when nothing is due: counters and activity are up to date to this.
LOOK_SECONDS = 2.0


class Splice:
    """A link whose legs are joined. Owns both transports until both are closed.

    It has no task: the event loop calls the legs, and the process's wheel calls `look`.
    """

    __slots__ = (
        "_deadline", "_life", "_moved_at", "_on_client_gone", "_timeouts", "_unsent", "down", "ended",
        "loop", "slot", "terms", "up",
    )  # fmt: skip
    gathers = True

    def __init__(
        self,
        transport: asyncio.Transport,
        request: SpliceRequest,
        *,
        early: bytes = b"",
        on_client_gone: Callable[[], object] | None = None,
        told: ToldSplice | None = None,
    ) -> None:
        """Take over the client's transport, on which the 101 was written, and the upstream's.

        `early` is what the client sent behind its request. `on_client_gone` is called when its socket is
        closed. `told`: go on where another splice of the same request left these sockets.
        """
        self.loop, self.slot = asyncio.get_running_loop(), NOT_DUE
        self.terms = request.terms
        self.ended: End | None = None
        self._life: Life | None = request.terms.life  # until both sockets are gone
        self._on_client_gone = on_client_gone
        self._moved_at, self._deadline = self.loop.time(), 0.0
        self._unsent = self._timeouts = 0
        self._join(transport, request.upstream)
        if told is not None:
            self._moved_at -= told.idle_seconds
            told.take_up(self.down, self.up)
        self._start(request.upstream, early)
        if self._life is not None:  # else it has ended in the very moment of its beginning
            self._life.joined(self)

    def _join(self, transport: asyncio.Transport, up: RawUpstream) -> None:
        terms, gate = self.terms, self.terms.gate
        looks, looks_up = (judge is not None for judge in judges(terms.policy))
        kind = InspectedLeg if looks else SplicedLeg if gate is None else GatedLeg
        self.down = kind(self, transport, ClosedBy.CLIENT)
        self.up = (InspectedLeg if looks_up else SplicedLeg)(self, up.transport, ClosedBy.UPSTREAM)
        self.down.other, self.up.other = self.up, self.down
        max_bytes, compressed = terms.limits.max_message_bytes, up.extensions is not None
        follow = partial(scanner, max_message_bytes=max_bytes, compressed=compressed)
        drops = gate is not None and gate.over is not OverRate.WAIT
        self.up.scanner = follow(masked=False, inspected=looks_up)  # type: ignore[assignment]  # as its leg is
        self.down.scanner = follow(  # type: ignore[assignment]
            masked=True, inspected=looks, diverts=terms.control, drops=drops
        )
        for leg, its_gate in ((self.down, gate), (self.up, None)):
            if isinstance(leg, GatedLeg):
                leg.open_gate(its_gate)

    def _start(self, upstream: RawUpstream, early: bytes) -> None:
        for leg in (self.up, self.down):
            leg.transport.set_write_buffer_limits(high=HIGH_WATER_BYTES, low=LOW_WATER_BYTES)
            leg.transport.set_protocol(leg)
        greeting, upstream.early = upstream.early, b""
        if greeting:
            self.up.data_received(greeting)
        if upstream.is_lost:
            self.up.connection_lost(None)
        if early:
            self.down.data_received(early)
        if self._life is not None:
            self.up.update_reading()
            self.down.update_reading()
            running_wheel().schedule(self, self.loop.time() + _due_seconds(self.terms.limits))

    def inject(self, *events: Event) -> None:
        self.down.inject(*events)

    def end(self, close: Close, by: ClosedBy) -> bool:
        """Close both legs with the same code and reason. The first end wins; whether this is it."""
        if self.ended is not None:
            return False
        self._note_end(close, by)
        told = close.for_wire(lost=closes.INTERNAL_ERROR)
        self.down.send_close(told)
        self.up.send_close(told)
        return True

    @property
    def buffered_bytes(self) -> int:
        """What waits in the outbox."""
        outbox = self.down.outbox
        return 0 if outbox is None else outbox.buffered_bytes

    def abort(self) -> None:
        """Drop both sockets at once."""
        for leg in (self.down, self.up):
            if not leg.gone:
                leg.transport.abort()

    # --- To be told -----

    def pause(self, seconds: float) -> None:
        """Read nothing for so long, unless the link ends; then go on, if nobody has taken the sockets."""
        self.down.hold(seconds)
        self.up.hold(seconds)

    def tell(self) -> ToldSplice | None:
        """Where a paused link stands; None once it has ended, and while what was written has not left.

        Raises:
            ValueError: a leg speaks TLS, and cannot change hands.
        """
        transports = self.down.transport, self.up.transport
        if self.ended is not None or any(
            each.is_closing() or each.get_write_buffer_size() for each in transports
        ):
            return None
        self._count(self.loop.time())
        down, up = ToldLeg.of(self.down), ToldLeg.of(self.up)
        return ToldSplice(down=down, up=up, idle_seconds=self.loop.time() - self._moved_at)

    def leave(self) -> None:
        """Let both sockets go without a word to anybody: whoever was told of the link has them."""
        self._life = None
        running_wheel().forget(self)
        for leg in (self.down, self.up):
            leg.transport.set_protocol(asyncio.Protocol())
            leg.transport.abort()
            leg.let_go()

    # --- For the legs -----

    def stream_ended(self, leg: SplicedLeg, ended: Close | Violation) -> None:
        """A close frame or a violation came from `leg`; what came before it has been passed on."""
        if isinstance(ended, Violation):
            self._violated(leg, ended)
            return
        if self.ended is None:
            self._note_end(ended, leg.by)
            leg.other.send_close(ended)
        leg.send_close(ended)
        if leg.shut:
            leg.hang_up()

    def _violated(self, leg: SplicedLeg, violation: Violation) -> None:
        close = told = Close(violation.code, violation.reason)
        if close.code == closes.MESSAGE_TOO_BIG.code:
            close = told = closes.too_big(leg.by, violation.reason)
        elif leg is self.up:
            told = closes.UPSTREAM_FAILED
        if self.ended is None:
            self._note_end(told, ClosedBy.GATEWAY)
            leg.other.send_close(told)
        leg.linger()
        leg.send_close(close)

    def stream_lost(self, leg: SplicedLeg) -> None:
        """`leg` was lost before a close frame came from it."""
        if self.ended is None:
            self._note_end(closes.LOST, leg.by)
        other = leg.other
        other.send_close(_lost_as_told(leg.by))
        if other.close_due is not None:  # it was to follow a frame that will never be whole
            other.hang_up()
        other.update_reading()  # it may have been stopped because of this one

    def leg_gone(self, leg: SplicedLeg) -> None:
        """The socket of `leg` is closed."""
        if leg is self.down and self._on_client_gone is not None:
            self._on_client_gone()
            self._on_client_gone = None
        if self.down.gone and self.up.gone:
            running_wheel().forget(self)
            life, self._life = self._life, None
            assert life is not None and self.ended is not None  # noqa: S101, PT018  legs end once, and say how
            life.ended(*self.ended)
            self.down.let_go()
            self.up.let_go()

    def unanswered(self, leg: SplicedLeg) -> None:
        """`leg` has not answered our pings; it counts as lost, but is told so if it can hear."""
        self._note_end(closes.LOST, leg.by)
        leg.send_close(closes.PING_TIMEOUT)
        leg.other.send_close(_lost_as_told(leg.by))

    def too_slow(self, leg: SplicedLeg) -> None:
        """`leg` has taken nothing for too long, though something waits for it."""
        if leg is self.down:
            metrics.child(metrics.SLOW_CONSUMERS_TOTAL, self.terms.route).inc()
            self.end(closes.SLOW_CONSUMER, ClosedBy.GATEWAY)
        else:
            self.end(closes.UPSTREAM_FAILED, ClosedBy.GATEWAY)

    def judged(self, leg: SplicedLeg, message: Message) -> bytes:
        """The frames in which a message read from `leg` goes on: its own or another; b"" if it does not."""
        policy, is_text = self.terms.policy, message.opcode == TEXT
        assert policy is not None  # noqa: S101  else its leg would not ask
        ask = policy.from_client if leg is self.down else policy.from_service
        failure: GatewayError | None = None
        try:
            verdict = ask(message.payload, is_text=is_text)
            if verdict is FORWARD:  # what nearly all are
                return message.wire
            check(verdict, is_text=is_text)
        except BaseException as error:  # noqa: BLE001  the policy's fault, not the loop's
            verdict, failure = DROP, failure_of("policy", error)
        wire, payload = self._goes_on(leg, message, verdict)
        if leg is self.up:
            self._count_judged(message.payload, payload)
        if failure is None:
            self._obey(leg, verdict)
        else:
            self._fail(failure)
        return wire

    def _goes_on(self, leg: SplicedLeg, message: Message, verdict: Verdict) -> tuple[bytes, bytes | None]:
        """The frames and the payload in which a message goes on; none, and None, if it does not."""
        if not verdict.forward or verdict.close is not None:
            return b"", None
        if verdict.payload is None:
            return message.wire, message.payload
        wire = encode_frame(message.opcode, verdict.payload, mask=_mask_towards(leg.other))
        return wire, verdict.payload

    def _count_judged(self, came: bytes, goes_on: bytes | None) -> None:
        """The service's scanner has counted what came; to be counted is what the client is sent."""
        self.terms.counters.last_activity = self._moved_at = self.loop.time()
        if goes_on is None:
            self.down.injected_messages -= 1
        self.down.injected_bytes += len(goes_on or b"") - len(came)

    def over_rate(self, leg: SplicedLeg, gate: MessageGate, *, messages: int, size_bytes: int) -> None:
        """`gate` has refused messages of `leg`, which went no further: tell the client, or end the link."""
        self.terms.counters.messages_dropped += messages
        try:
            self._obey(leg, gate.refuse(self.loop.time(), messages=messages, size_bytes=size_bytes))
        except GatewayError as error:
            self._fail(error)

    def _obey(self, leg: SplicedLeg, verdict: Verdict) -> None:
        """Do what a verdict on a message of `leg` says, beside what becomes of that."""
        leg.pause(verdict.pause_seconds)
        if verdict.reply is not None:
            if leg is self.down:
                leg.inject(Event(verdict.reply, source="answer"))
            elif not leg.shut and not leg.stalled_at:  # a service that does not read gets no answers either
                leg.transport.write(text_frame(verdict.reply, mask=os.urandom(4)))
        if verdict.close is not None:
            self.end(verdict.close, ClosedBy.GATEWAY)

    def _fail(self, error: GatewayError) -> None:
        """The route's own code ends the link, or has failed."""
        if isinstance(error, HookFailed) and self._life is not None:
            self._life.failed(error)
        self.end(error.as_close(), ClosedBy.GATEWAY)

    def take_control(self, payload: bytes) -> None:
        """Answer a control message of the client."""
        assert self._life is not None  # noqa: S101  it is told of the end last
        text = payload.decode()  # its scanner has seen to it that it can be
        self.down.inject(Event(self._life.control(text), source="answer"))

    # --- The end, and the clock -----

    def _note_end(self, close: Close, by: ClosedBy) -> None:
        """From now on nothing is injected, and the close handshakes are under a deadline."""
        self.down.end_outbox(delivers=close is not closes.SLOW_CONSUMER)
        self.down.leave_unjudged()
        self.up.leave_unjudged()
        self._count(self.loop.time())
        self.ended = End(close, by)
        if self.up.scanner.messages:  # before the service has spoken there is nothing to say farewell to
            words = last_words(self.terms.farewell, close, by, failed=self.terms.life.failed)
            self.down.last_words = b"".join(map(text_frame, words))
        self.up.watched = self.down.watched = True
        self.up.hurry()
        self.down.hurry()
        self._unsent = self._unsent_bytes()
        self._extend_deadline(self.loop.time())

    def _extend_deadline(self, now: float) -> None:
        self._deadline = now + self.terms.limits.close_timeout_seconds
        running_wheel().schedule(self, self._deadline)

    def _unsent_bytes(self) -> int:
        return sum(unsent_bytes(leg.transport) for leg in (self.down, self.up) if not leg.gone)

    def _close_is_late(self, now: float) -> None:
        """The close deadline has passed: wait on for an end that still takes what came before its close."""
        before, self._unsent = self._unsent, self._unsent_bytes()
        self._timeouts += 1
        if self._timeouts < MOST_TIMEOUTS and still_moves(self._unsent, before):
            self._extend_deadline(now)
            return
        for leg in (self.down, self.up):
            if not leg.gone:
                finish(leg.transport)
        running_wheel().schedule(self, now + self.terms.limits.close_timeout_seconds)

    def look(self, now: float) -> None:
        """Called by the wheel."""
        if self._life is None:
            return
        if self.ended is None:
            self._count(now)
            if now - self._moved_at >= self.terms.limits.idle_timeout_seconds:
                self.end(closes.IDLE, ClosedBy.GATEWAY)
        for leg in (self.down, self.up):
            if self.ended is None:
                leg.look(now)
        if self.ended is None:
            running_wheel().schedule(self, now + _due_seconds(self.terms.limits))
        elif now >= self._deadline:
            self._close_is_late(now)
        else:
            running_wheel().schedule(self, self._deadline)

    def _count(self, now: float) -> None:
        """Bring the link's counters up to date, and note whether any message has moved."""
        counters, down, up = self.terms.counters, self.down.scanner, self.up.scanner
        moved = counters.moved
        counters.messages_in, counters.bytes_in = down.messages, down.payload_bytes
        counters.messages_out = up.messages + self.down.injected_messages
        counters.bytes_out = up.payload_bytes + self.down.injected_bytes
        if counters.moved != moved:
            counters.last_activity = self._moved_at = now


def _mask_towards(leg: SplicedLeg) -> bytes | None:
    return None if leg.is_client else os.urandom(4)


def _lost_as_told(by: ClosedBy) -> Close:
    """What the other end is told when `by` was lost without a close."""
    return closes.CLIENT_LOST if by is ClosedBy.CLIENT else closes.UPSTREAM_LOST


def _due_seconds(limits: LinkLimits) -> float:
    """How often to look, so that no deadline is missed by more than itself."""
    return min(
        LOOK_SECONDS,
        limits.ping_interval_seconds,
        limits.ping_timeout_seconds,
        limits.idle_timeout_seconds,
        limits.slow_consumer_seconds,
    )
