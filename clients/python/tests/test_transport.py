"""What a try may take of time and memory."""

from __future__ import annotations

import time

import pytest

from sluicegate_client import calls
from sluicegate_client.dialogue import Send
from sluicegate_client.transport import MAX_ANSWER_BYTES, Cut, Received, TimeLeft

CALL = calls.connections({}, page_size=1, cursor=None)


def test_a_try_begins_once_there_is_a_place_in_the_pool_and_its_steps_share_its_time() -> None:
    left = TimeLeft(Send(CALL, try_seconds=5, deadline=time.monotonic() + 100))
    assert 90 < left.get("pool") <= 100
    begun = time.monotonic()
    assert left.get("connect") <= 5
    assert begun + 5 <= left.until() == left.until() <= time.monotonic() + 5
    assert TimeLeft(Send(CALL, try_seconds=5, deadline=time.monotonic() + 1)).get("connect") <= 1


def test_an_answer_that_trickles_is_given_up_but_what_is_there_is_taken() -> None:
    received = Received(TimeLeft(Send(CALL, try_seconds=0, deadline=time.monotonic())))
    received.take(b"late")
    assert received.body() == b"late"
    with pytest.raises(Cut, match="too slowly"):
        received.take(b"r")


def test_an_answer_without_an_end_is_given_up() -> None:
    received = Received(TimeLeft(Send(CALL, try_seconds=5, deadline=time.monotonic() + 5)))
    received.take(bytes(MAX_ANSWER_BYTES))
    with pytest.raises(Cut, match="more than 16777216 bytes"):
        received.take(b"x")
