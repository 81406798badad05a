"""What a server publishes, on its way into clients' streams."""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy.core.history import Position
from proxy.core.wire.framing import message_frame, text_frame


@dataclass(slots=True, eq=False)
class Event:
    """One event for every local link of a topic. `text` is what clients read: one JSON text; `frame` is the
    same as an unmasked wire frame, made once for all links.

    `source` is where it came from, a metric's label: the channel `layer`, this node itself (`local`), its
    topic's `history`, or the gateway that has an `answer` to what one client sent. `position` is where it
    stands in that history; None: its topic has none.
    """

    text: str
    source: str = "layer"
    position: Position | None = None
    frame: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.frame = text_frame(self.text)


@dataclass(slots=True, eq=False)
class Pushed:
    """A message of a route's own leg, on its way to the one client that it is joined with."""

    text: str | bytes
    source: str = "leg"
    frame: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.frame = message_frame(self.text)
