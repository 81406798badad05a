"""An answer that is a stream of events, and whether its client reads it. Knows no Twisted."""

from __future__ import annotations

from proxy.server.options import ServerOptions


class EventStream:
    """One answer: when some of what waited last went out, and how much had by then."""

    def __init__(self, options: ServerOptions, *, now: float) -> None:
        self._options = options
        self._gone_bytes, self._gone_at = 0, now

    def is_stalled(self, written_bytes: int, unsent_bytes: int, *, now: float) -> bool:
        """Whether its client has read nothing for too long, or too little; of so much that was written."""
        gone_bytes = written_bytes - unsent_bytes
        if not unsent_bytes or gone_bytes > self._gone_bytes:
            self._gone_bytes, self._gone_at = gone_bytes, now
        is_late = now - self._gone_at >= self._options.stream_stall_seconds
        return is_late or unsent_bytes > self._options.max_stream_bytes
