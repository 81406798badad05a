"""What is seen of a message, and what it costs the loop, in which everybody waits."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from experience.sessions import messages

# 256 KiB of what costs a parser most.
DENSE = "[" + "[]," * ((256 << 10) // 3) + "1]"


@pytest.mark.parametrize(
    ("text", "is_ping"),
    [
        ('{"type":"ping"}', True),
        (' \n{"n":[{}], "type" : "ping" } ', True),
        (r'{"t\u0079pe":"\u0070\u0069\u006e\u0067"}', True),
        ('{"type":"pong","type":"ping"}', True),
        ('{"type":"ping","type":"pong"}', False),
        ('{"type":["ping"]}', False),
        ('{"type":"' + "ping" * 99 + '"}', False),
        ('[{"type":"ping"}]', False),
        ('{"a":{"type":"ping"}}', False),
        ("{}", False),
        ("1" * 5000, False),
        (DENSE, False),
        ("[" * 200 + "]" * 200, False),
    ],
)
def test_a_ping_is_known_however_it_is_spelled(text: str, *, is_ping: bool) -> None:
    assert messages.is_ping(text) == messages.is_ping(text.encode()) == is_ping


NO_JSON = [
    "",
    " ",
    "{",
    '{"type":}',
    "NaN",
    "[-Infinity]",
    '{"a":NaN}',
    "01",
    "[1,]",
    "[1] 1",
    '"\n"',
    "{1:2}",
    "tru",
]


@pytest.mark.parametrize("text", [*NO_JSON, r'["\ud800"]', "[" * 99_999, '{"a":' * 99_999])
def test_what_is_no_json_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        messages.is_ping(text)
    assert json.loads(messages.positioned(text.encode(), b"1-1")) == {
        "type": "gateway.message",
        "since": "1-1",
        "text": text,
    }


def test_bytes_that_are_no_utf8_are_no_json_wherever_they_stand() -> None:
    for message in (b"\xff", b'"\xff"', b'{"a":"\xff"}'):
        with pytest.raises(UnicodeDecodeError):
            messages.is_ping(message)


def test_a_big_message_costs_a_small_part_of_what_it_takes_to_parse_it() -> None:
    parsed = _least_seconds(lambda: json.loads(DENSE))
    assert _least_seconds(lambda: messages.is_ping(DENSE)) < parsed / 3
    assert _least_seconds(lambda: messages.positioned(DENSE.encode(), b"1-1")) < parsed / 3


def _least_seconds(call: Callable[[], object]) -> float:
    """Of this thread's processor time."""
    times = []
    for _ in range(9):
        began = time.thread_time()
        call()
        times.append(time.thread_time() - began)
    return min(times)
