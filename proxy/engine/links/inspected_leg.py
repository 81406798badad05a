"""A spliced leg whose messages are looked at before they go on."""

from __future__ import annotations

from proxy.core.wire.frames import FULL_READ_BYTES
from proxy.core.wire.messages import Control, Message, MessageScanner
from proxy.engine.links.spliced_leg import SplicedLeg


class InspectedLeg(SplicedLeg):
    """A leg whose messages are shown whole to the route's policy before their frames go on."""

    __slots__ = ()
    scanner: MessageScanner  # type: ignore[assignment]  # never passed on as it is

    def data_received(self, data: bytes) -> None:
        self._take(self.scanner.feed(data))
        if len(data) >= FULL_READ_BYTES:
            self._wait_for_turn(0.0)

    def _take(self, read: list[Message | Control]) -> None:  # type: ignore[override]  # as the scanner is
        for whole in read:
            if self.other.shut:
                break
            if isinstance(whole, Message) and not self.splice.passes(self, whole):
                continue
            if not self.other.shut:
                self.other.transport.write(whole.wire)
        self._finish_read()
