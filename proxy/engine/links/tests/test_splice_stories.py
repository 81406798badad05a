"""Whatever happens between two ends, in any order: each hears whole messages in order, then one end.

A story is drawn and played, in time that takes none. It brings together what other tests look at one by one:
stalls, rates, turns, events, control messages, policies, and every kind of end at any byte.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.core import closes
from proxy.core.closes import Close, ClosedBy
from proxy.core.limits import MessageLimits, OverRate, Rate
from proxy.core.message_gate import MessageGates
from proxy.core.wire.framing import ping_frame
from proxy.core.wire.headers import BINARY, CONT, TEXT
from proxy.core.wire.tests.frames import encode_frame
from proxy.engine.links.tests.dialogue import Dialogue
from proxy.engine.links.tests.policies import Forwarding, OneWay
from proxy.engine.links.tests.story import End

DONE = Close(4000, "done")
RATE = Rate(20, 1)
KEY = b"\x01\x02\x03\x04"
EVERYTHING = 1 << 20
POLICIES = {"inspected": Forwarding(), "one way": OneWay(), "both": Forwarding()}
CONTROLLED, KINDS = {"control", "both"}, ("transparent", "compressed", "control", *POLICIES)
ENDINGS = ("kick", "client resets", "client leaves", "client closes", "client floods",
           "service resets", "service leaves", "service closes", "service floods")  # fmt: skip
FLOOD = 4_000  # pings; at the rate at which a client's go on, they take 40 s
# Stories with longer waits may end by a timeout: of a ping, or of an end that does not read.
PATIENCE_SECONDS = 15.0


class Said(NamedTuple):
    """One message of an end, and its frames with pings in between."""

    payload: bytes
    wire: list[bytes]


@dataclass(frozen=True)
class Story:
    """What the ends say, what happens in which order, and on what kind of link."""

    kind: str
    over: OverRate | None
    client: list[Said]
    service: list[Said]
    acts: list[tuple[str, int]]
    is_deaf: bool
    has_short_turns: bool

    @property
    def may_end_early(self) -> bool:
        waits = sum(size / 100 for what, size in self.acts if what == "wait")
        return waits > PATIENCE_SECONDS or any(what in ENDINGS for what, _ in self.acts)

    @property
    def is_cut_off(self) -> bool:
        """An end was lost after a flood, and the other one listens."""
        return not self.is_deaf and any(what.endswith("floods") for what, _ in self.acts)


def said(number: int, size: int, parts: int, flag: bool, *, kind: str, mask: bytes | None) -> Said:
    """`flag`: compressed, or a control message, where there are such."""
    is_control = flag and mask is not None and kind in CONTROLLED
    payload = b'{"type":"gateway.%d"}' % number if is_control else b"%d:" % number + b"x" * size
    step = len(payload) // parts + 1
    wire = []
    for at in range(0, len(payload), step):
        opcode = CONT if at else TEXT if is_control else BINARY
        is_last = at + step >= len(payload)
        frame = encode_frame(opcode, payload[at : at + step], mask=mask, fin=is_last)
        if flag and not at and kind == "compressed":
            frame = bytes((frame[0] | 0x40,)) + frame[1:]
        wire += [frame] if is_last else [frame, ping_frame(b"?", mask=mask)]
    return Said(payload, wire)


@st.composite
def stories(draw: st.DrawFn) -> Story:
    kind = draw(st.sampled_from(KINDS))
    sizes = st.sampled_from((0, 1, 100, 130, 700, 70_000))
    drawn = st.lists(st.tuples(sizes, st.integers(1, 3), st.booleans()), max_size=12)
    moves = st.sampled_from(("client", "service", "client reads", "service reads"))
    move = st.tuples(moves, st.sampled_from((1, 2, 7, 60, 500, 100_000)))
    other = st.sampled_from((("event", 0), ("hand over", 0), ("wait", 1), ("wait", 10), ("wait", 300)))
    acts = draw(st.lists(st.one_of(move, move, other), max_size=30))
    for ending in draw(st.lists(st.sampled_from(ENDINGS), max_size=2)):
        acts.insert(draw(st.integers(0, len(acts))), (ending, 0))
    return Story(
        kind=kind,
        over=draw(st.sampled_from((None, *OverRate))),
        client=[said(at, *each, kind=kind, mask=KEY) for at, each in enumerate(draw(drawn))],
        service=[said(at, *each, kind=kind, mask=None) for at, each in enumerate(draw(drawn))],
        acts=acts,
        is_deaf=draw(st.booleans()),
        has_short_turns=draw(st.booleans()),
    )


class Play:
    """One story on its way."""

    def __init__(self, story: Story) -> None:
        self.story, self.injected = story, list[bytes]()
        gate = None
        if story.over is not None:
            gate = MessageGates(MessageLimits(messages_per_user=RATE, over=story.over)).open("7")
        self.link = Dialogue(
            compressed=story.kind == "compressed",
            control=story.kind in CONTROLLED,
            policy=POLICIES.get(story.kind),
            gate=gate,
        )
        self.ends = {"client": End(self.link, mask=KEY), "service": End(self.link, mask=None)}
        for name, end in self.ends.items():
            end.say([frame for each in getattr(story, name) for frame in each.wire])

    def run(self) -> None:
        for what, size in self.story.acts:
            self._act(what, size)
            self.link.clock.turn()
        if self.story.is_cut_off:
            self._go_on(seconds=20)
            assert self.link.end is not None, "a client that is gone is a live link"
        if not self.story.may_end_early:
            self._go_on(seconds=20)
            self.ends["client"].close(DONE)
        self._go_on(seconds=400, listening=not self.story.is_deaf)
        assert self.link.end is not None, "the link never ends"

    def _act(self, what: str, size: int) -> None:
        if what == "wait":
            self.link.wait(size / 100)
        elif what == "hand over":
            if self.link.end is None:
                self.link.hands_over()
        elif what == "kick":
            self.link.ends(closes.KICKED, ClosedBy.STAFF)
        elif what.endswith("floods"):
            self._flood(self.ends[what.removesuffix(" floods")])
        elif what == "event":
            self.injected.append(b"event %d" % len(self.injected))
            self.link.inject(self.injected[-1].decode())
        else:
            self._act_of_end(*what.split(), size=size)

    def _act_of_end(self, who: str, does: str = "sends", *, size: int) -> None:
        end = self.ends[who]
        if does == "sends":
            end.send(size)
        elif does == "reads":
            end.read(size)
        elif does == "closes":
            end.close(DONE)
        elif does == "leaves":
            end.leave()
        else:
            end.reset()

    def _flood(self, end: End) -> None:
        end.flood(FLOOD)
        self.link.clock.turn()
        end.reset()

    def _go_on(self, *, seconds: int, listening: bool = True) -> None:
        """Both say what they still have to say, and read, if they listen: until the end, or for so long."""
        for _ in range(seconds * 10):
            if self.link.end is not None:
                return
            for end in self.ends.values() if listening else ():
                end.send(EVERYTHING)
                end.read(EVERYTHING)
            self.link.wait(0.1)


def check(play: Play) -> None:
    story, (to_client, to_service) = play.story, [end.heard() for end in play.ends.values()]
    payloads = [each.payload for each in story.client if b"gateway." not in each.payload]
    if story.over is OverRate.DROP:
        rest = iter(payloads)
        assert all(any(heard == payload for payload in rest) for heard in to_service.messages)
    else:
        assert to_service.messages == payloads[: len(to_service.messages)]
    said_out = [each.payload for each in story.service]
    heard_out = [payload for payload in to_client.messages if payload[:1].isdigit()]
    assert heard_out == said_out[: len(heard_out)]
    events = [payload for payload in to_client.messages if payload.startswith(b"event")]
    assert events == play.injected[: len(events)]
    if not story.may_end_early and story.over not in {OverRate.DROP, OverRate.CLOSE}:
        assert (to_service.messages, heard_out, events) == (payloads, said_out, play.injected)
        assert play.link.end == (DONE, ClosedBy.CLIENT)
        assert story.is_deaf or to_service.close == to_client.close == DONE


class Faults(logging.Handler):
    """What was logged as an error: an exception that somebody caught."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.logged: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.logged.append(self.format(record))


def play_through(story: Story) -> None:
    faults, logger = Faults(), logging.getLogger()
    logger.addHandler(faults)
    try:
        with ExitStack() as stack:
            if story.has_short_turns:
                stack.enter_context(patch("proxy.core.wire.frames.TURN_COST", 2))
                stack.enter_context(patch("proxy.core.wire.messages.TURN_FRAMES", 2))
            play = Play(story)
            with play.link:
                play.run()
            check(play)
    finally:
        logger.removeHandler(faults)
    assert not faults.logged


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(stories())
def test_each_end_hears_whole_messages_in_order_and_then_one_end(story: Story) -> None:
    play_through(story)
