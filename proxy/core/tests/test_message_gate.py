from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.core import closes
from proxy.core.hook_failures import HookFailed
from proxy.core.limits import BYTES_A_DROP, DROPPED_RATE, MessageLimits, OverRate, Rate
from proxy.core.message_gate import MOST_GRANTED, MOST_PAUSE_SECONDS, MessageGate, MessageGates
from proxy.core.policies import Verdict

SLOW = MessageLimits(messages_per_user=Rate(4, 1), messages_per_connection=Rate(3, 1))


def passed(gate: MessageGate, messages: int, now: float = 0.0) -> int:
    """How many of so many messages are let in, one by one."""
    return sum(gate.grant(now, most=1)[0] for _ in range(messages))


def test_a_link_has_its_own_rate_and_its_user_one_for_all_links() -> None:
    gates = MessageGates(SLOW)
    first, second = gates.open("7"), gates.open("7")
    assert (passed(first, 10), passed(second, 10), passed(gates.open("8"), 10)) == (3, 1, 3)


@pytest.mark.parametrize("rate", [Rate(20, 1), Rate(100, 1), Rate(1000, 1)], ids=str)
def test_links_of_one_user_hold_nothing_back_that_another_of_its_links_may_send(rate: Rate) -> None:
    gates = MessageGates(MessageLimits(messages_per_user=rate))
    links = [gates.open("7") for _ in range(20)]
    assert all(gate.grant(0.0, most=gate.at_once)[0] for gate in links)


def test_who_is_alone_is_looked_at_once_for_several_messages_again_when_the_others_have_left() -> None:
    gates = MessageGates(MessageLimits(messages_per_user=Rate(100, 1)))
    gate, _ = gates.open("7"), gates.open("7")
    assert gate.at_once == 5
    gates.close("7")
    assert gate.at_once == 10


def test_a_refused_message_takes_nothing_from_any_bucket() -> None:
    gates = MessageGates(MessageLimits(messages_per_connection=Rate(1, 1), messages_per_user=Rate(2, 1)))
    first, second = gates.open("7"), gates.open("7")
    assert (passed(first, 50), passed(second, 1)) == (1, 1)


def test_who_has_sent_more_bytes_than_it_may_waits_with_its_next_message() -> None:
    gate = MessageGates(MessageLimits(bytes_per_user=Rate(1000, 1), over=OverRate.WAIT)).open("7")
    assert gate.grant(0, most=gate.at_once) == (1, 0)
    gate.charge(0, 3000)
    assert gate.grant(0, most=gate.at_once) == (0, 2)
    assert gate.grant(2, most=gate.at_once) == (1, 0)


def test_the_answer_says_when_to_come_back_and_is_not_a_flood_itself() -> None:
    gate = MessageGates(SLOW).open("7")
    assert passed(gate, 4) == 3
    told = gate.refuse(0, messages=1, size_bytes=10).reply
    assert told is not None
    body = json.loads(told)
    assert (body["type"], body["code"], body["retry_after_ms"]) == ("error", "rate_limited", 334)
    assert body["message"] == "Too many messages; this one was dropped."
    answers = [gate.refuse(number / 1000, messages=1, size_bytes=10).reply for number in range(1, 1000)]
    assert sum(answer is not None for answer in answers) == 9


def test_the_rest_of_a_message_that_was_dropped_is_not_answered_again() -> None:
    gate = MessageGates(SLOW).open("7")
    assert gate.refuse(0, messages=0, size_bytes=10).reply is None


def test_the_answer_is_phrased_as_the_route_says() -> None:
    gate = MessageGates(SLOW, phrase=lambda text: "42" + text).open("7")
    assert (gate.refuse(0, messages=1, size_bytes=0).reply or "").startswith('42{"type":"error"')

    def broken(text: str) -> str:
        raise RuntimeError(text)

    with pytest.raises(HookFailed) as failed:
        MessageGates(SLOW, phrase=broken).open("7").refuse(0, messages=1, size_bytes=0)
    assert failed.value.hook == "phrase"


def test_a_message_beyond_the_rate_ends_the_link_where_that_is_so() -> None:
    gate = MessageGates(MessageLimits(messages_per_user=Rate(1, 1), over=OverRate.CLOSE)).open("7")
    assert gate.refuse(0, messages=3, size_bytes=10) == Verdict(forward=False, close=closes.MESSAGE_RATE)


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
    assert passed(gate, 2) == 2
    gate.charge(0, 300)
    assert gate.grant(0, most=1)[0] == 0
    assert json.loads(gate.refuse(0, messages=1, size_bytes=100).reply or "")["bound"] == bound


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


def test_a_link_is_granted_a_few_messages_at_a_time() -> None:
    gate = MessageGates(MessageLimits(messages_per_connection=Rate(80, 1), over=OverRate.WAIT)).open("7")
    granted = 0
    while (grant := gate.grant(0, most=gate.at_once))[0]:
        granted += grant[0]
    assert granted == 80
    assert 0 < grant[1] <= 10 / 80
    assert gate.grant(grant[1], most=gate.at_once) == (8, 0)


def test_who_may_send_many_is_looked_at_for_a_tenth_of_a_second_and_no_more_often_than_that_needs() -> None:
    fast, faster = (MessageLimits(messages_per_user=Rate(count, 1)) for count in (1000, 1_000_000))
    assert MessageGates(fast).open("7").at_once == 100
    assert MessageGates(faster).open("7").at_once == MOST_GRANTED > 100


def test_where_the_next_would_be_dropped_none_is_while_one_may_begin() -> None:
    gate = MessageGates(MessageLimits(messages_per_connection=Rate(80, 1))).open("7")
    assert passed(gate, 77) == 77
    assert [gate.grant(0, most=gate.at_once)[0] for _ in range(4)] == [1, 1, 1, 0]


def test_what_is_dropped_is_read_no_faster_than_a_user_may_send_it_over_all_its_links() -> None:
    gates = MessageGates(MessageLimits(messages_per_user=Rate(1000, 1)))
    one, other, somebody = gates.open("7"), gates.open("7"), gates.open("8")

    def pause_seconds(gate: MessageGate, size_bytes: int = 0, now: float = 0.0) -> float:
        return gate.refuse(now, messages=1, size_bytes=size_bytes).pause_seconds

    for _ in range(int(DROPPED_RATE.count)):
        assert pause_seconds(one) == pytest.approx(0.0)
    assert pause_seconds(other) == pytest.approx(1 / DROPPED_RATE.per_second)
    assert pause_seconds(other, 10 * BYTES_A_DROP) == pytest.approx(12 / DROPPED_RATE.per_second)
    assert pause_seconds(somebody) == 0.0
    assert pause_seconds(one, now=1.0) == 0.0


def test_links_of_nobody_in_particular_pay_for_what_is_dropped_each_by_itself() -> None:
    gates = MessageGates(MessageLimits(messages_per_connection=Rate(1, 1)))
    one, other = gates.open(""), gates.open("")
    one.refuse(0.0, messages=int(DROPPED_RATE.count), size_bytes=0)
    assert one.refuse(0.0, messages=1, size_bytes=0).pause_seconds > 0.0
    assert other.refuse(0.0, messages=1, size_bytes=0).pause_seconds == 0.0


def test_who_goes_on_beyond_its_rate_is_not_read_before_its_next_message_may_begin() -> None:
    gate = MessageGates(MessageLimits(messages_per_user=Rate(4, 1))).open("7")
    assert passed(gate, 5) == 4
    assert gate.refuse(0, messages=1, size_bytes=0).pause_seconds == pytest.approx(0.25)
    slow = MessageGates(MessageLimits(messages_per_user=Rate(1, 3600))).open("7")
    assert passed(slow, 2) == 1
    assert slow.refuse(0, messages=1, size_bytes=0).pause_seconds == MOST_PAUSE_SECONDS
