from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.core.limits import BYTES_A_DROP, DROPPED_RATE, MessageLimits, Rate
from proxy.core.message_gate import MessageGates

SLOW = MessageLimits(messages_per_user=Rate(4, 1), messages_per_connection=Rate(3, 1))


def passed(waits: list[float]) -> int:
    return sum(wait == 0 for wait in waits)


def test_a_link_has_its_own_rate_and_its_user_one_for_all_links() -> None:
    gates = MessageGates(SLOW)
    first, second = gates.open("7"), gates.open("7")
    assert passed([first.wait_seconds(10, 0) for _ in range(10)]) == 3
    assert passed([second.wait_seconds(10, 0) for _ in range(10)]) == 1
    assert gates.open("8").wait_seconds(10, 0) == 0


def test_a_refused_message_takes_nothing_from_any_bucket() -> None:
    gates = MessageGates(MessageLimits(messages_per_connection=Rate(1, 1), messages_per_user=Rate(2, 1)))
    first, second = gates.open("7"), gates.open("7")
    assert passed([first.wait_seconds(1, 0) for _ in range(50)]) == 1
    assert second.wait_seconds(1, 0) == 0


def test_bytes_are_counted_beside_messages() -> None:
    gate = MessageGates(MessageLimits(bytes_per_connection=Rate(1000, 1))).open("7")
    assert gate.wait_seconds(900, 0) == 0
    assert gate.wait_seconds(900, 0) > 0.5
    assert gate.wait_seconds(100, 0) == 0


def test_the_answer_says_when_to_come_back_and_is_not_a_flood_itself() -> None:
    gate = MessageGates(SLOW).open("7")
    answer = gate.answer(0.25, 0)
    assert answer is not None
    body = json.loads(answer)
    assert (body["type"], body["code"], body["retry_after_ms"]) == ("error", "rate_limited", 251)
    answers = [gate.answer(0.25, number / 1000) for number in range(1, 1000)]
    assert sum(answer is not None for answer in answers) == 9


@pytest.mark.parametrize(
    ("bound", "other"),
    [
        ("messages_per_user", "messages_per_connection"),
        ("messages_per_connection", "messages_per_user"),
        ("bytes_per_user", "messages_per_connection"),
        ("bytes_per_connection", "messages_per_user"),
    ],
)
def test_the_answer_names_the_bound_that_takes_longest(bound: str, other: str) -> None:
    rates: Any = {bound: Rate(200 if bound.startswith("bytes") else 2, 1), other: Rate(20, 1)}
    gate = MessageGates(MessageLimits(**rates)).open("7")
    waits = [gate.wait_seconds(100, 0) for _ in range(3)]
    assert waits[:2] == [0, 0] != waits
    assert json.loads(gate.answer(waits[2], 0) or "")["bound"] == bound


def test_users_are_forgotten_with_their_last_link() -> None:
    gates = MessageGates(SLOW)
    for number in range(100):
        gates.open(str(number))
    gates.open("7")
    for number in range(100):
        gates.close(str(number))
    assert len(gates._users) == 1
    gates.close("7")
    gates.close("7")
    assert not gates._users


def test_a_stream_that_is_only_counted_is_granted_a_few_messages_at_a_time() -> None:
    gate = MessageGates(MessageLimits(messages_per_connection=Rate(80, 1))).open("7")
    granted = 0
    while (grant := gate.grant(0, sent_bytes=0))[0]:
        granted += grant[0]
    assert granted == 80
    assert 0 < grant[1] <= 10 / 80
    assert gate.grant(grant[1], sent_bytes=0) == (8, 0)


def test_what_a_counted_stream_has_sent_is_charged_and_waited_for() -> None:
    gate = MessageGates(MessageLimits(bytes_per_user=Rate(1000, 1))).open("7")
    assert gate.grant(0, sent_bytes=0) == (1, 0)
    assert gate.grant(0, sent_bytes=3000) == (0, 2)
    assert gate.grant(2, sent_bytes=3000) == (1, 0)


def test_what_is_dropped_is_read_no_faster_than_a_user_may_send_it_over_all_its_links() -> None:
    gates = MessageGates(MessageLimits(messages_per_user=Rate(1, 1)))
    one, other, somebody = gates.open("7"), gates.open("7"), gates.open("8")
    for _ in range(int(DROPPED_RATE.count)):
        assert one.dropped(0, 0.0) == pytest.approx(0.0)
    assert other.dropped(0, 0.0) == pytest.approx(1 / DROPPED_RATE.per_second)
    assert other.dropped(10 * BYTES_A_DROP, 0.0) == pytest.approx(12 / DROPPED_RATE.per_second)
    assert somebody.dropped(0, 0.0) == 0.0
    assert one.dropped(0, 1.0) == 0.0


def test_links_of_nobody_in_particular_pay_for_what_is_dropped_each_by_itself() -> None:
    gates = MessageGates(MessageLimits(messages_per_connection=Rate(1, 1)))
    one, other = gates.open(""), gates.open("")
    for _ in range(int(DROPPED_RATE.count)):
        one.dropped(0, 0.0)
    assert one.dropped(0, 0.0) > 0.0
    assert other.dropped(0, 0.0) == 0.0
