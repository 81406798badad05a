"""What a spliced client is told before its link ends for good: after all that came, in no message."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from proxy.core import closes
from proxy.core.closes import Close, ClosedBy
from proxy.core.farewells import Farewell, last_words
from proxy.core.wire.framing import close_frame, text_frame
from proxy.core.wire.headers import CONT, TEXT
from proxy.core.wire.tests.frames import encode_frame
from proxy.engine.links.tests.dialogue import Dialogue


def farewell(close: Close) -> Iterable[str]:
    return f"ended with {close.code}", "bye"


def said(farewell: Farewell, close: Close, by: ClosedBy) -> list[str]:
    """The last words, and which hook failed at them."""
    failed: list[str] = []
    words = last_words(farewell, close, by, failed=lambda error: failed.append(f"{error.hook} failed"))
    return [*words, *failed]


def test_a_lone_text_is_no_words_letter_by_letter() -> None:
    assert said(lambda _: "bye", closes.KICKED, ClosedBy.STAFF) == ["farewell failed"]


HELLO, ONE = text_frame("hello"), encode_frame(TEXT, b"one", fin=False)
EVENT = text_frame("an event")
WORDS = text_frame("ended with 4001"), text_frame("bye")
KICK = close_frame(4001, "kicked by staff")
REST = encode_frame(CONT, b"and the rest")


def test_they_follow_all_that_came_and_go_before_the_close() -> None:
    with Dialogue(farewell=farewell) as link:
        link.service.says(HELLO)
        link.inject("an event")
        link.ends(closes.KICKED, ClosedBy.STAFF)
        link.client.hears(HELLO, EVENT, *WORDS, KICK)


def test_they_follow_the_frame_under_way_where_a_message_ends_with_it() -> None:
    with Dialogue(farewell=farewell) as link:
        link.service.says(HELLO, ONE, REST[:5])
        link.wait()
        link.ends(closes.KICKED, ClosedBy.STAFF)
        link.service.hears(KICK)  # it is told now, and says, as libraries do, no more than it had begun
        link.service.says(REST[5:] + close_frame(4001))
        link.client.hears(HELLO, ONE, REST, *WORDS, KICK)


def test_between_the_frames_of_a_message_there_are_none() -> None:
    """It is not waited for: a service that is told of the close leaves it unfinished."""
    with Dialogue(farewell=farewell) as link:
        link.service.says(HELLO + ONE)
        link.ends(closes.KICKED, ClosedBy.STAFF)
        link.client.hears(HELLO, ONE, KICK)


def test_there_are_none_before_the_service_has_spoken() -> None:
    with Dialogue(farewell=farewell) as link:
        link.inject("an event")
        link.ends(closes.KICKED, ClosedBy.STAFF)
        link.client.hears(EVENT, KICK)


def test_a_client_that_breaks_the_rules_hears_them_too() -> None:
    with Dialogue(farewell=farewell) as link:
        link.service.says(HELLO)
        link.client.says(text_frame("not masked"))
        link.client.hears(
            HELLO, text_frame("ended with 1002"), WORDS[1], close_frame(1002, "incorrect masking")
        )


@pytest.mark.parametrize("code", [1001, 1011, 4008, 4010, 4013])
def test_who_may_come_back_hears_none(code: int) -> None:
    assert said(farewell, Close(code), ClosedBy.GATEWAY) == []


def test_what_a_service_closes_with_is_its_own() -> None:
    assert said(farewell, closes.KICKED, ClosedBy.UPSTREAM) == []


def broken(_: Close) -> Iterable[str]:
    yield "one"
    raise RuntimeError


def of_bytes(_: Close) -> Iterable[str]:
    yield b"one"  # type: ignore[misc]


def of_no_text(_: Close) -> Iterable[str]:
    yield "\ud800"


@pytest.mark.parametrize("hook", [broken, of_bytes, of_no_text])
def test_a_farewell_that_fails_or_cannot_be_sent_holds_no_close_up(
    hook: Farewell,
) -> None:
    assert said(hook, closes.KICKED, ClosedBy.STAFF) == ["farewell failed"]
