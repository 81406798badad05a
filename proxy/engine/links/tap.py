"""One link that staff look at: lines of what goes over it, few enough to be told, and how that ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from proxy.core.human import one_line
from proxy.core.secrets_in_text import Secrets
from proxy.core.tapping import (
    MESSAGES_A_SECOND,
    MESSAGES_AT_ONCE,
    MOST_SHOWN_BYTES,
    MOST_TOLD_CHARS,
    TAP_SECONDS,
    Direction,
    TapEnd,
    Viewing,
)
from proxy.core.wire.following import Seen
from proxy.engine.links.link import Link
from proxy.engine.links.tapping import Eye, look_on

# Who looks on says so every few seconds.
VIEWER_SECONDS = 20.0
# Lines that wait to be told: of four seconds. While they cannot be, what comes is left out.
MOST_LINES = 100


class LinkTap:
    """From its beginning to its end, which puts the link back as it was.

    Attributes:
        ended: why it has ended; None while it goes on.
        stopped_by: who of staff has stopped it; "" where nobody has.
        shown: messages that were shown so far.
    """

    def __init__(self, tap_id: str, link: Link, secrets: Secrets, *, by: str) -> None:
        """Raises ValueError where nothing flows over the link."""
        if link.stream is None:
            raise ValueError("the connection has not begun, or has ended")
        self.id, self.link, self.by = tap_id, link, by
        self.ended: TapEnd | None = None
        self.stopped_by = ""
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._until, self._looked_at = now + TAP_SECONDS, now
        self._allowed, self._allowed_at = MESSAGES_AT_ONCE, now
        self._lines: list[dict[str, Any]] = []
        self._dropped_before = link.counters.messages_dropped
        self._told_chars = self._over_rate = self._left_out_before = self.shown = 0
        self._eyes = {way: self._eye(way, secrets) for way in Direction}
        eyes = self._eyes
        self._unseen_told = self.unseen
        self._put_back = look_on(link.stream, inwards=eyes[Direction.IN], outwards=eyes[Direction.OUT])

    def _eye(self, way: Direction, secrets: Secrets) -> Eye:
        viewing = Viewing(way, secrets, clock=time.time)
        return Eye(partial(self._show, viewing), missed=viewing.missed)

    @property
    def left_out(self) -> int:
        """Messages that went by and are not shown."""
        return self._over_rate + sum(eye.left_out for eye in self._eyes.values())

    @property
    def dropped(self) -> int:
        """Messages of the client that its rate let go no further."""
        return self.link.counters.messages_dropped - self._dropped_before

    @property
    def kept_back(self) -> int:
        """Messages, of either way, that the policy let go no further."""
        return sum(eye.kept_back for eye in self._eyes.values())

    @property
    def left_seconds(self) -> float:
        """Until its time is over; 0 once it has ended."""
        return max(0.0, self._until - self._loop.time()) if self.ended is None else 0.0

    def looked_at(self) -> None:
        """Somebody still looks on."""
        self._looked_at = self._loop.time()

    def due_end(self) -> TapEnd | None:
        """Why it is to end now, if it is."""
        now = self._loop.time()
        if now >= self._until:
            return TapEnd.TIME
        if self._told_chars >= MOST_TOLD_CHARS:
            return TapEnd.FULL
        return TapEnd.NOBODY_LOOKS if now - self._looked_at >= VIEWER_SECONDS else None

    @property
    def end_in_words(self) -> str | None:
        """Why it has ended, as who looked on is told; None while it goes on."""
        by = f" by {one_line(self.stopped_by, 64)}" if self.stopped_by else ""
        return None if self.ended is None else f"{self.ended}{by}"

    def end(self, why: TapEnd, *, by: str = "") -> None:
        """Put the link back as it was. What has gone over it until now is still looked at, until `close`; the
        first end counts. `by`: who of staff wants it so."""
        if self.ended is None:
            self.ended, self.stopped_by = why, by
            self._put_back()

    def close(self) -> None:
        """Look at nothing more."""
        for eye in self._eyes.values():
            eye.close()

    def untold(self, lines: Sequence[dict[str, Any]]) -> None:
        """These could not be told to anybody."""
        messages = sum(line["kind"] in ("text", "binary") for line in lines)
        self._over_rate += messages
        self.shown -= messages

    @property
    def unseen(self) -> dict[str, int]:
        """How many messages are not shown, by why."""
        return {"left_out": self.left_out, "dropped": self.dropped, "kept_back": self.kept_back}

    @property
    def has_news(self) -> bool:
        """Whether there is anything to tell since `take_lines`."""
        return bool(self._lines) or self.ended is not None or self.unseen != self._unseen_told

    def take_lines(self) -> list[dict[str, Any]]:
        """What has come since it was last asked, the first one first."""
        lines, self._lines, self._unseen_told = self._lines, [], self.unseen
        return lines

    def _show(self, viewing: Viewing, seen: Seen) -> bool:
        """Make a line of a message, unless that is too much; whether it took long."""
        if self._has_room():
            line = viewing.line(seen).told()
            line["left_out"] = self.left_out - self._left_out_before
            self._left_out_before = self.left_out
            self._told_chars += len(line["text"])
            self._lines.append(line)
            self.shown += seen.is_message
            return True
        self._over_rate += seen.is_message
        if seen.size_bytes > MOST_SHOWN_BYTES:  # to inflate what nobody sees costs more than it is worth
            viewing.missed()
            return False
        viewing.skip(seen)
        return seen.compressed

    def _has_room(self) -> bool:
        now = self._loop.time()
        allowed = self._allowed + (now - self._allowed_at) * MESSAGES_A_SECOND
        self._allowed, self._allowed_at = min(MESSAGES_AT_ONCE, allowed), now
        if self._allowed < 1 or len(self._lines) >= MOST_LINES or self._told_chars >= MOST_TOLD_CHARS:
            return False
        self._allowed -= 1
        return True
