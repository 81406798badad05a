"""What a server publishes, on its way into clients' streams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Event:
    """One event for every local link of a topic. `text` is what clients read: one JSON text.

    `frame` is the same as an unmasked wire frame, made once by whoever first needs it, None until then.
    """

    topic: str
    text: str
    frame: bytes | None = None

    def phrased(self, phrase: Callable[[str], str]) -> Event:
        """The same in the words of one route's protocol."""
        return Event(self.topic, phrase(self.text))
