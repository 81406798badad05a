"""A spliced leg whose messages are looked at before they go on."""

from __future__ import annotations

from proxy.core.limits import OverRate
from proxy.core.message_gate import MessageGate
from proxy.core.wire.frames import FULL_READ_BYTES
from proxy.core.wire.messages import Message, MessageScanner
from proxy.engine.links.gated_leg import GatedLeg


class InspectedLeg(GatedLeg):
    """A leg whose messages are shown whole to the link's policy, once its gate has let them in."""

    __slots__ = ()
    scanner: MessageScanner  # type: ignore[assignment]  # never passed on as it is

    def data_received(self, data: bytes) -> None:
        self._take(self.scanner.feed(data))
        if len(data) >= FULL_READ_BYTES:
            self._wait_for_turn(0.0)

    def _take(self, read: list[Message | bytes]) -> None:  # type: ignore[override]  # as the scanner is
        for whole in read:
            if self.other.shut:
                break
            frames = self._frames_of(whole) if isinstance(whole, Message) else whole
            if frames and not self.other.shut:
                self.other.transport.write(frames)
        self._finish_read()

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
            self._refuse(1, size_bytes)
        return bool(granted)
