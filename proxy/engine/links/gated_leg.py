"""Spliced legs whose messages have to be let in, and those that are looked at before they go on."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from proxy.core.limits import OverRate
from proxy.core.message_gate import MessageGate
from proxy.core.wire.dropping import DroppingScanner
from proxy.core.wire.frames import FULL_READ_BYTES
from proxy.core.wire.messages import Message, MessageScanner
from proxy.engine.links.spliced_leg import SplicedLeg


class GatedLeg(SplicedLeg):
    """A leg whose messages pass a gate: they are counted as frames go by, and not looked into.

    Its scanner stops where the quota ends that the gate has granted. What is beyond the rate waits there,
    unread; or it is dropped, and the client told; or it ends the link. `gate` None lets everything in.
    """

    __slots__ = ("_charged_bytes", "gate")
    STATE = (*SplicedLeg.STATE, "_charged_bytes")
    gate: MessageGate | None

    def open_gate(self, gate: MessageGate | None) -> None:
        """From now on, ask `gate`. What is never sent costs nobody anything."""
        self.gate, self._charged_bytes = gate, 0
        if gate is not None and (gate.over is OverRate.WAIT or isinstance(self.scanner, DroppingScanner)):
            self.scanner.quota = 0

    def _wait_seconds(self) -> float:
        gate, scanner = self.gate, self.scanner
        if gate is None or not scanner.awaits_quota:
            return 0.0
        self._charge(gate)
        granted, seconds = gate.grant(self.splice.loop.time(), most=gate.at_once)
        scanner.quota = scanner.messages + granted
        if seconds and isinstance(scanner, DroppingScanner):
            scanner.drops = True
            return 0.0
        return seconds

    def _charge(self, gate: MessageGate) -> None:
        """Pay for the bytes that were let in since the last time."""
        sent_bytes = self.scanner.payload_bytes - self._charged_bytes
        self._charged_bytes += sent_bytes
        gate.charge(self.splice.loop.time(), sent_bytes)

    def _finish_read(self) -> None:
        scanner = self.scanner
        if isinstance(scanner, DroppingScanner) and (scanner.dropped or scanner.dropped_bytes):
            messages, size_bytes = scanner.dropped, scanner.dropped_bytes
            scanner.dropped = scanner.dropped_bytes = 0
            self._charged_bytes += size_bytes
            assert self.gate is not None  # noqa: S101  it has refused them
            self.splice.over_rate(self, self.gate, messages=messages, size_bytes=size_bytes)
        super()._finish_read()

    def hurry(self) -> None:
        """What has to wait for the rate waits no longer; but what would be dropped still is."""
        gate, quota = self.gate, self.scanner.quota
        super().hurry()
        if gate is None or quota == sys.maxsize:
            return
        self._charge(gate)
        if gate.over is not OverRate.WAIT and self.splice.ended is None:
            self.scanner.quota = quota


class InspectedLeg(GatedLeg):
    """A leg whose messages are shown whole to the link's policy, once its gate has let them in."""

    __slots__ = ("_let_through", "_unjudged")
    scanner: MessageScanner  # type: ignore[assignment]  # never passed on as it is

    def open_gate(self, gate: MessageGate | None) -> None:
        super().open_gate(gate)
        self._unjudged: Iterator[Message | bytes] = iter(())
        self._let_through: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self._take(self.scanner.feed(data))
        if len(data) >= FULL_READ_BYTES:
            self._wait_for_turn(0.0)

    def _take(self, read: list[Message | bytes]) -> None:  # type: ignore[override]  # as the scanner is
        self._unjudged = iter(read)
        for whole in self._unjudged:
            if self.other.shut:
                break
            frames = self._frames_of(whole) if isinstance(whole, Message) else whole
            if frames:
                self._let_through.append(frames)
        self._pass_on()
        self._finish_read()

    def _pass_on(self) -> None:
        """Write what was let through of one read, together."""
        frames, self._let_through = self._let_through, []
        if frames and not self.other.shut:
            self.other.transport.write(frames[0] if len(frames) == 1 else b"".join(frames))

    def leave_unjudged(self) -> None:
        self._pass_on()
        for left in self._unjudged:
            if isinstance(left, Message):
                self.scanner.messages -= 1
                self.scanner.payload_bytes -= len(left.payload)

    def _frames_of(self, message: Message) -> bytes:
        """The frames in which a message goes on; none if it does not."""
        if self.is_client and self.splice.terms.control and message.is_control:
            self.scanner.divert(message)
            self.take_control(message.payload)
            return b""
        if self.gate is not None and not self._lets_in(self.gate, len(message.payload)):
            return b""
        return self.splice.judged(self, message)

    def _lets_in(self, gate: MessageGate, size_bytes: int) -> bool:
        """Ask the gate about one message; where messages wait for it, the scanner's quota has done so."""
        if gate.over is OverRate.WAIT:
            return True
        now = self.splice.loop.time()
        granted, _ = gate.grant(now, most=1)
        if granted:
            gate.charge(now, size_bytes)
        else:
            self.splice.over_rate(self, gate, messages=1, size_bytes=size_bytes)
        return bool(granted)
