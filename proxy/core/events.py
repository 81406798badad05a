"""What a server publishes, on its way into clients' streams."""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy.core.wire.framing import text_frame


@dataclass(slots=True, eq=False)
class Event:
    """One event for every local link of a topic. `text` is what clients read: one JSON text; `frame` is the
    same as an unmasked wire frame, made once for all links.

    `source` is where it came from, a metric's label: the channel `layer`, this node itself (`local`), or the
    gateway that has an `answer` to what one client sent.
    """

    text: str
    source: str = "layer"
    frame: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.frame = text_frame(self.text)
