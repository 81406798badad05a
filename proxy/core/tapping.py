"""What staff see of a message that goes over a tapped link: bounded, without secrets, safe to show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from proxy.core.human import one_line, visible
from proxy.core.inflating import Inflated, Inflater
from proxy.core.redaction import REDACTED
from proxy.core.secrets_in_text import UNKNOWN, Secrets
from proxy.core.wire.following import Seen
from proxy.core.wire.headers import CLOSE, PING, PONG, TEXT, ProtocolViolation, parse_close

TAP_SECONDS = 300.0
# Of one message; of all that one tap shows, as it is told; and how many messages a second, and at once.
MOST_SHOWN_BYTES = 2048
MOST_TOLD_CHARS = 2_000_000
# Of a binary message; and of a text, in which what cannot be seen is written out.
MOST_HEX_BYTES, MOST_SHOWN_CHARS = 1024, 4096
MESSAGES_A_SECOND, MESSAGES_AT_ONCE = 25.0, 50.0
# What is read of a compressed message to be able to read the next; what it may inflate to.
MOST_COMPRESSED_BYTES = 64 * 1024
MOST_INFLATED_BYTES = 256 * 1024
KEPT_BYTES = (MOST_SHOWN_BYTES, MOST_COMPRESSED_BYTES)
_KINDS = {CLOSE: "close", PING: "ping", PONG: "pong", TEXT: "text"}
_UNSEEN = "··"


class Direction(StrEnum):
    """Which way a message goes: in from the client, or out to it."""

    IN = "in"
    OUT = "out"


class TapEnd(StrEnum):
    """Why a tap has ended, in words for staff."""

    TIME = "its time is over"
    STOPPED = "it was stopped"
    LINK_CLOSED = "the connection has closed"
    NODE_STOPS = "the node drains or stops"
    NOBODY_LOOKS = "nobody looked on any more"
    FULL = "as much was shown as may be"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One message as it is shown. `at` is in Unix seconds; `size_bytes` is its payload's, inflated.

    `cut`: there is more of it than `text`. `wire_bytes`: as it was sent, where that was compressed; else 0.
    """

    at: float
    way: Direction
    kind: str
    text: str
    size_bytes: int
    wire_bytes: int = 0
    cut: bool = False

    def told(self) -> dict[str, Any]:
        """As plain values, for other processes and for pages."""
        return {
            "at": round(self.at, 3),
            "way": self.way.value,
            "kind": self.kind,
            "text": self.text,
            "size": self.size_bytes,
            "wire": self.wire_bytes,
            "cut": self.cut,
        }


class Viewing:
    """Makes lines of what goes one way. Messages come in order: what they repeat is in those before."""

    def __init__(self, way: Direction, secrets: Secrets, *, clock: Callable[[], float]) -> None:
        """`clock` tells Unix seconds."""
        self.way, self._secrets, self._clock = way, secrets, clock
        self._inflater = Inflater(most_bytes=MOST_INFLATED_BYTES)

    def missed(self) -> None:
        """Something went by unseen: what it said may be repeated."""
        self._inflater.forget()

    def skip(self, seen: Seen) -> None:
        """It went by, and is not to be shown."""
        if seen.compressed:
            self._inflater.inflate(seen.payload, is_whole=seen.is_whole)

    def line(self, seen: Seen) -> Line:
        """What is shown of it."""
        kind = _KINDS.get(seen.opcode, "binary")
        if kind == "close":
            return self._made(seen, kind, self._close(seen.payload))
        if kind in ("ping", "pong"):  # of machines, for machines
            return self._made(seen, kind, "")
        if not seen.compressed:
            said = Inflated.as_it_is(seen.payload, is_whole=seen.is_whole)
            return self._made(seen, kind, self._shown(said, kind), cut=not seen.is_whole)
        said = self._inflater.inflate(seen.payload, is_whole=seen.is_whole)
        cut = not said.is_whole or len(said.payload) > MOST_SHOWN_BYTES
        text, size = self._shown(said, kind), len(said.payload)
        return self._made(seen, kind, text, size_bytes=size, wire_bytes=seen.size_bytes, cut=cut)

    def _made(self, seen: Seen, kind: str, text: str, *, size_bytes: int | None = None, **more: Any) -> Line:
        size = seen.size_bytes if size_bytes is None else size_bytes
        return Line(at=self._clock(), way=self.way, kind=kind, text=text, size_bytes=size, **more)

    def _close(self, payload: bytes) -> str:
        try:
            close = parse_close(payload)
        except ProtocolViolation:
            return ""
        return f"{close.code} {one_line(self._secrets.without(close.reason))}".strip()

    def _shown(self, said: Inflated, kind: str) -> str:
        payload, unknown = said.payload[:MOST_SHOWN_BYTES], said.unknown[:MOST_SHOWN_BYTES]
        is_whole = said.is_whole and len(said.payload) <= MOST_SHOWN_BYTES
        if kind == "text" or _is_text(payload, unknown):
            text = _safe(self._secrets.without(_decoded(payload, unknown), is_whole=is_whole))
            return text if len(text) <= MOST_SHOWN_CHARS else f"{text[:MOST_SHOWN_CHARS]}…"
        return self._hex(payload[:MOST_HEX_BYTES], unknown)

    def _hex(self, payload: bytes, unknown: bytes) -> str:
        """What stands behind something that is not known may be a secret, too, and nothing can tell where it
        ends."""
        end = min(self._secrets.first_in(payload), _first_unknown(unknown))
        shown = payload[:end].hex(" ")
        if end == len(payload):
            return shown
        return f"{shown} {_UNSEEN if unknown[end] else REDACTED}".strip()


def _is_text(payload: bytes, unknown: bytes) -> bool:
    """Whether a binary message is text after all, as far as it is shown."""
    if any(unknown):
        return False
    try:
        text = payload.decode(errors="strict")
    except UnicodeDecodeError as error:
        if error.start < len(payload) - 3:  # else it may have been cut there
            return False
        text = payload[: error.start].decode()
    return text.replace("\n", "").replace("\r", "").replace("\t", "").isprintable()


def _first_unknown(unknown: bytes) -> int:
    return len(unknown) - len(unknown.lstrip(b"\0"))


def _decoded(payload: bytes, unknown: bytes) -> str:
    """Text, with a sign for each byte that is not known."""
    if not any(unknown):
        return payload.decode(errors="replace")
    pieces, start = [], 0
    for at in range(1, len(payload) + 1):
        if at == len(payload) or bool(unknown[at]) != bool(unknown[start]):
            run = UNKNOWN * (at - start) if unknown[start] else payload[start:at].decode(errors="replace")
            pieces.append(run)
            start = at
    return "".join(pieces)


def _safe(text: str) -> str:
    """Lines stay lines; what else moves the cursor, turns the direction or cannot be seen is written out."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join("\t".join(map(visible, line.split("\t"))) for line in lines)
