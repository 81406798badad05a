"""What a server publishes, on its way into clients' streams."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from proxy.core.wire.framing import text_frame


@dataclass(eq=False)
class Event:
    """One event for every local link of a topic. `text` is what clients read: one JSON text.

    `source` is where it came from, a metric's label: the channel `layer`, this node itself (`local`), or the
    gateway that has an `answer` to what one client sent.
    """

    text: str
    source: str = "layer"

    @cached_property
    def frame(self) -> bytes:
        """The same as an unmasked wire frame, made once for all links by whoever first needs it."""
        return text_frame(self.text)
