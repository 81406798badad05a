"""Pings: those of the ends cross, the gateway's own are answered to it, and who answers none is lost."""

from __future__ import annotations

from proxy.core import closes
from proxy.core.closes import ClosedBy
from proxy.core.limits import LinkLimits
from proxy.core.wire.framing import close_frame, ping_frame, text_frame
from proxy.core.wire.tests.frames import pong_frame
from proxy.engine.links.scanners import PONG_PREFIX
from proxy.engine.links.terms import End
from proxy.engine.links.tests.dialogue import Dialogue
from proxy.engine.links.tests.splicing import MASK

OURS = ping_frame(PONG_PREFIX)
LIMITS = LinkLimits(
    ping_interval_seconds=20, ping_timeout_seconds=20, slow_consumer_seconds=200, close_timeout_seconds=5
)


def test_pings_of_either_end_cross_and_so_do_their_pongs() -> None:
    with Dialogue() as link:
        link.service.says(ping_frame(b"from the service"))
        link.client.hears(ping_frame(b"from the service"))
        link.client.says(
            pong_frame(b"from the service", mask=MASK) + ping_frame(b"from the client", mask=MASK)
        )
        link.service.hears(pong_frame(b"from the service"), ping_frame(b"from the client"))


def test_the_gateways_pings_keep_silent_ends_and_their_pongs_are_swallowed() -> None:
    with Dialogue(limits=LIMITS) as link:
        for _ in range(3):
            link.wait(24)
            link.client.hears(OURS)
            link.service.hears(OURS)
            link.client.says(pong_frame(PONG_PREFIX, mask=MASK))
            link.service.says(pong_frame(PONG_PREFIX))
        link.service.says(text_frame("still here"))
        link.client.hears(text_frame("still here"))


def test_a_client_that_does_not_answer_pings_is_lost() -> None:
    with Dialogue(limits=LIMITS) as link:
        link.wait(22)
        link.service.says(pong_frame(PONG_PREFIX))
        link.wait(22)
        link.client.hears(OURS, close_frame(1011, "ping timeout"))
        link.service.hears(OURS, close_frame(1001, "client lost"))
        link.wait(5.2)
        assert link.end == End(closes.LOST, ClosedBy.CLIENT)


def test_a_service_that_does_not_answer_pings_is_lost() -> None:
    with Dialogue(limits=LIMITS) as link:
        link.wait(22)
        link.client.says(pong_frame(PONG_PREFIX, mask=MASK))
        link.wait(22)
        link.client.hears(OURS, close_frame(1011, "upstream lost"))
        link.wait(5.2)
        assert link.end == End(closes.LOST, ClosedBy.UPSTREAM)


def test_pings_wait_for_no_answer_from_a_service_that_is_not_being_read() -> None:
    with Dialogue(limits=LIMITS) as link:
        link.client.stalls()
        link.service.says(text_frame("x" * 1000))
        assert not link.service.reading
        link.wait(100)
        link.service.hears()
        assert link.splice.ended is None


def test_a_ping_that_was_stuck_behind_a_stall_is_sent_again() -> None:
    with Dialogue(limits=LIMITS) as link:
        link.client.stalls()
        link.wait(24)
        link.service.says(text_frame("x" * 1000))
        link.client.reads()
        link.wait(24)
        assert link.client.frames().count(OURS) == 2
