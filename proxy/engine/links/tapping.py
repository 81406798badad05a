"""Looking on at one link: what holds its two ends is exchanged for something that notes what is written.

So a link that nobody looks at calls exactly what it always did. What is written goes on first, verbatim, and
is looked at in later turns of the loop; what is too much to wait for that is left out and counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from proxy.core.legs import payload_bytes
from proxy.core.policies import FORWARD, Judge, Policy, Verdict
from proxy.core.tapping import KEPT_BYTES
from proxy.core.wire.following import Follower, Seen
from proxy.core.wire.headers import BINARY, TEXT
from proxy.engine.links.link import Stream
from proxy.engine.links.relay import Relay
from proxy.engine.links.scanners import apply_mask
from proxy.engine.links.splice import Splice

logger = logging.getLogger(__name__)

# What waits to be looked at, of one direction: bytes, and writes or messages.
MOST_WAITING_BYTES = 512 * 1024
MOST_WAITING = 1000
# Frames that are looked at in one turn of the loop, some microseconds each; one that takes long ends a turn.
FRAMES_A_TURN = 128

# What is called with each message that went by; it answers whether that took long.
Show = Callable[[Seen], bool]


class Eye:
    """Notes what goes one way, and shows it later.

    Attributes:
        left_out: messages that went by and were not looked at.
        kept_back: messages that the link's policy let go no further.
    """

    def __init__(self, show: Show, *, missed: Callable[[], None]) -> None:
        """`missed` is told that something went by unseen, before what comes then is shown."""
        self._show, self._missed = show, missed
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[bytes | Seen] = deque()
        self._waiting_bytes = 0
        self._reading = self._read()
        self._turn: asyncio.Handle | None = None
        self._is_lost = self._is_closed = False
        self.left_out = self.kept_back = 0
        self.open(crossed=lambda: 0, skip=lambda: 0)

    def open(self, *, crossed: Callable[[], int], skip: Callable[[], int]) -> None:
        """Between two turns of a link, `crossed` tells how many messages have gone this way, and `skip` how
        much of the payload of the frame under way is still to come."""
        self._crossed, self._skip = crossed, skip
        self._begin_here()

    def frames(self, data: bytes) -> None:
        """These bytes were written."""
        self._put(data, len(data))

    def message(self, message: str | bytes) -> None:
        """This message was sent."""
        most, is_text = KEPT_BYTES[0], isinstance(message, str)
        payload = message[:most].encode(errors="replace") if isinstance(message, str) else message[:most]
        self._put(Seen(TEXT if is_text else BINARY, payload[:most], payload_bytes(message)), len(payload))

    def close(self) -> None:
        """Nothing is shown any more."""
        self._is_closed = True
        self._drop()
        if self._turn is not None:
            self._turn.cancel()

    def _put(self, what: bytes | Seen, size_bytes: int) -> None:
        if self._is_lost or self._is_closed:
            return
        self._waiting_bytes += size_bytes
        if self._waiting_bytes > MOST_WAITING_BYTES or len(self._waiting) >= MOST_WAITING:
            self._is_lost = True
            self._drop()
        else:
            self._waiting.append(what)
        if self._turn is None:
            self._turn = self._loop.call_soon(self._look)

    def _look(self) -> None:
        """It is our turn, between two of others: the link stands where it says that it does."""
        self._turn = None
        if self._is_lost:
            self._lose()
            return
        try:
            is_done = self._show_some()
        except Exception:
            logger.exception("looking on at a link failed")
            self._lose()
            return
        if not is_done and not self._is_closed:
            self._turn = self._loop.call_soon(self._look)

    def _show_some(self) -> bool:
        """Whether nothing waits any more."""
        for frames, seen in enumerate(self._reading, 1):
            took_long = False
            if seen is not None:
                self._accounted += seen.is_message
                took_long = self._show(seen)
            if took_long or frames >= FRAMES_A_TURN:
                return False
        self._reading = self._read()  # the one that was has ended
        return True

    def _read(self) -> Iterator[Seen | None]:
        while self._waiting:
            what = self._waiting.popleft()
            if isinstance(what, Seen):
                self._waiting_bytes -= len(what.payload)
                yield what
            else:
                yield from self._follower.feed(what)
                self._waiting_bytes -= len(what)

    def _drop(self) -> None:
        self._waiting.clear()
        self._waiting_bytes, self._reading = 0, self._read()

    def _lose(self) -> None:
        """Too much came at once: look on from here."""
        self._missed()
        self.left_out += max(0, self._crossed() - self._accounted)
        self._begin_here()

    def _begin_here(self) -> None:
        self._drop()
        self._is_lost, self._accounted = False, self._crossed()
        self._follower = Follower(skip=self._skip(), kept_bytes=KEPT_BYTES, apply_mask=apply_mask)


class _SeenPolicy:
    """A link's policy, of which it is counted what it keeps back."""

    def __init__(self, policy: Policy, *, inwards: Eye, outwards: Eye) -> None:
        self.from_client = _counted(policy.from_client, inwards)
        self.from_service = _counted(policy.from_service, outwards)


def _counted(judge: Judge, eye: Eye) -> Judge:
    def judged(payload: bytes, *, is_text: bool) -> Verdict:
        verdict = judge(payload, is_text=is_text)
        if verdict is not FORWARD and not (verdict.forward and verdict.close is None):
            eye.kept_back += 1
        return verdict

    return judged


class _SeenTransport:
    """A leg's transport, of which each write is seen."""

    def __init__(self, transport: asyncio.Transport, eye: Eye) -> None:
        self.tapped, self._eye = transport, eye

    def write(self, data: bytes) -> None:
        self.tapped.write(data)
        self._eye.frames(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tapped, name)


class _SeenLeg:
    """A relay's leg, of which each message is seen that it was sent."""

    def __init__(self, leg: Any, eye: Eye) -> None:
        self.tapped, self._eye = leg, eye

    async def send(self, message: str | bytes) -> None:
        await self.tapped.send(message)
        self._eye.message(message)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tapped, name)


class _SeenWriter:
    """What writes frames to a relay's client, of which each is seen."""

    def __init__(self, writer: Any, eye: Eye) -> None:
        self.tapped, self._eye = writer, eye

    @property
    def sends_now(self) -> bool:
        return bool(self.tapped.sends_now)

    def send_frames(self, frames: bytes) -> None:
        self.tapped.send_frames(frames)
        self._eye.frames(frames)


def look_on(stream: Stream, *, inwards: Eye, outwards: Eye) -> Callable[[], None]:
    """Have both eyes see what goes over a live link, in from its client and out to it, until what this
    answers is called, which puts everything back as it was. Raises TypeError for a stream of another kind."""
    if isinstance(stream, Splice):
        return _look_on_splice(stream, inwards, outwards)
    if isinstance(stream, Relay):
        return _look_on_relay(stream, inwards, outwards)
    raise TypeError(f"a {type(stream).__name__} cannot be tapped")


def _look_on_splice(splice: Splice, inwards: Eye, outwards: Eye) -> Callable[[], None]:
    """What is written to the service came in, what is written to the client goes out."""
    down, up, terms = splice.down, splice.up, splice.terms
    from_client, from_service, counters = down.scanner, up.scanner, terms.counters
    inwards.open(
        crossed=lambda: from_client.messages - counters.messages_dropped - inwards.kept_back,
        skip=lambda: from_client.payload_left,
    )
    outwards.open(
        crossed=lambda: from_service.messages + down.injected_messages,
        skip=lambda: from_service.payload_left,
    )
    before = [(leg, leg.transport) for leg in (up, down)]
    for leg, eye in ((up, inwards), (down, outwards)):
        leg.transport = _SeenTransport(leg.transport, eye)  # type: ignore[assignment]
    if terms.policy is not None:
        policy = _SeenPolicy(terms.policy, inwards=inwards, outwards=outwards)
        splice.terms = replace(terms, policy=policy)  # type: ignore[arg-type]

    def put_back() -> None:
        splice.terms = terms
        for leg, transport in before:
            leg.transport = transport

    return put_back


def _look_on_relay(relay: Relay, inwards: Eye, outwards: Eye) -> Callable[[], None]:
    """As above; some relays write frames to their client, too."""
    counters = relay._counters
    inwards.open(
        crossed=lambda: counters.messages_in - counters.messages_dropped - inwards.kept_back, skip=lambda: 0
    )
    outwards.open(crossed=lambda: counters.messages_out, skip=lambda: 0)
    seen: dict[str, Any] = {
        "_upstream": _SeenLeg(relay._upstream, inwards),
        "_downstream": _SeenLeg(relay._downstream, outwards),
    }
    writer = getattr(relay, "_writer", None)
    if writer is not None:
        seen["_writer"] = _SeenWriter(writer, outwards)
    for name, judge, eye in (
        ("_judge_in", relay._judge_in, inwards),
        ("_judge_out", relay._judge_out, outwards),
    ):
        if judge is not None:
            seen[name] = _counted(judge, eye)
    before = {name: getattr(relay, name) for name in seen}

    def put(these: dict[str, Any]) -> None:
        for name, what in these.items():
            setattr(relay, name, what)

    put(seen)
    return partial(put, before)
