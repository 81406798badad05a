"""What is sent, what is repeated and when it is given up, told by what one answers: no socket, no waiting."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from typing import Any

import pytest

from sluicegate_client import (
    BadRequest,
    Delivered,
    GatewayAway,
    KeyRefused,
    Publication,
    SluicegateError,
    UnexpectedAnswer,
)
from sluicegate_client import calls as calling
from sluicegate_client.dialogue import Answer, NoAnswer, Patience, Pause, Send, carry_out, carry_out_all

PATIENT = Patience(deadline_seconds=200, try_seconds=10)
PUBLISH = calling.publish("user:ada", {"type": "hello"}, None)
KICK = calling.kick(user_ids=["ada"], connection_ids=(), everyone=False, reason="")
LIST = calling.connections({"user": "ada"}, page_size=100, cursor=None)
LOST, NOT_SENT = NoAnswer("lost", was_sent=True), NoAnswer("not sent", was_sent=False)
DELIVERED = {"nodes": 1, "links": 2}


def answer(status: int, told: Any, **headers: str) -> Answer:
    return Answer(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(told).encode()
    )


def refusal(status: int, code: str = "code", **headers: str) -> Answer:
    return answer(status, {"code": code, "message": "why"}, **headers)


def played(dialogue: Any, *replies: Answer | NoAnswer) -> tuple[list[bytes | None], list[float], Any]:
    """The bodies that were sent, the pauses between, and the value or error at the end."""
    bodies: list[bytes | None] = []
    pauses: list[float] = []
    waiting = list(replies)
    reply: Answer | NoAnswer | None = None
    try:
        while True:
            step = dialogue.send(reply)
            assert isinstance(step, Send | Pause)
            if isinstance(step, Pause):
                pauses.append(step.seconds)
                reply = None
            else:
                bodies.append(step.call.body)
                reply = waiting.pop(0)
    except StopIteration as ended:
        assert not waiting
        return bodies, pauses, ended.value
    except SluicegateError as error:
        assert not waiting
        return bodies, pauses, error


@pytest.mark.parametrize("lost", [LOST, NOT_SENT, *map(refusal, (408, 429, 502, 503, 504))])
def test_a_publication_is_repeated_word_for_word_until_it_is_answered(lost: Answer | NoAnswer) -> None:
    bodies, pauses, value = played(carry_out(PUBLISH, PATIENT), *[lost] * 8, answer(200, DELIVERED))
    assert value == Delivered(1, 2)
    assert len(bodies) == 9
    assert set(bodies) == {PUBLISH.body}
    assert all(
        0.5 * step <= pause <= step for step, pause in zip((0.25, 0.5, 1, 2, 4, 8, 8, 8), pauses, strict=True)
    )


def test_the_gateway_says_when_to_come_back_in_seconds_or_by_a_date() -> None:
    asked = [
        refusal(503, retry_after="7"),
        refusal(503, retry_after=formatdate(time.time() + 30, usegmt=True)),
    ]
    _, (first, second), _ = played(carry_out(PUBLISH, PATIENT), *asked, answer(200, DELIVERED))
    assert 7 < first <= 7.25
    assert 28 < second <= 30.5


def test_what_cannot_be_in_time_is_given_up_at_once() -> None:
    _, pauses, error = played(
        carry_out(PUBLISH, Patience(deadline_seconds=5)), refusal(429, retry_after="60")
    )
    assert isinstance(error, GatewayAway)
    assert (pauses, error.status, error.code, error.retry_after_seconds) == ([], 429, "code", 60)
    assert not error.may_have_happened


@pytest.mark.parametrize(
    ("call", "reply", "is_repeated"),
    [
        (KICK, NOT_SENT, True),
        (KICK, refusal(503, "database_away"), True),
        (KICK, refusal(503, "not_sent"), False),
        (KICK, refusal(429, "too_many"), True),
        (KICK, LOST, False),
        (KICK, answer(502, "a proxy's own words"), False),
        (KICK, answer(503, "a proxy's own words"), False),
        (LIST, LOST, True),
    ],
)
def test_a_kick_is_repeated_only_where_it_cannot_have_happened(
    call: Any, reply: Any, is_repeated: bool
) -> None:
    step = carry_out(call, PATIENT)
    next(step)
    if is_repeated:
        assert isinstance(step.send(reply), Pause)
    else:
        with pytest.raises(GatewayAway) as failed:
            step.send(reply)
        assert failed.value.may_have_happened


def test_what_may_have_happened_once_is_told_whatever_comes_after() -> None:
    _, _, error = played(carry_out(PUBLISH, PATIENT), LOST, refusal(401))
    assert isinstance(error, KeyRefused)
    assert error.may_have_happened


@pytest.mark.parametrize(
    "reply",
    [
        *(answer(status, "<html>") for status in (200, 301, 401, 403, 404, 413, 500)),
        *(answer(200, told) for told in ({}, [], [DELIVERED], {"nodes": "many", "links": 1}, None)),
        Answer(200, {}, b"[" * 100_000),
        refusal(404),
    ],
)
def test_what_no_gateway_says_is_neither_believed_nor_repeated(reply: Answer) -> None:
    _, _, error = played(carry_out(PUBLISH, PATIENT), reply)
    assert isinstance(error, UnexpectedAnswer)
    assert error.status == reply.status


@pytest.mark.parametrize("words", ["why", "why."])
def test_an_error_reads_as_sentences_whoever_wrote_its_words(words: str) -> None:
    forbidden = answer(403, {"code": "forbidden", "message": words})
    _, _, error = played(carry_out(PUBLISH, PATIENT), forbidden)
    assert str(error).startswith("POST /api/events: 403 why. Who runs the gateway")


def test_events_go_out_in_order_a_thousand_or_a_mebibyte_to_a_request() -> None:
    many = calling.publish_many(Publication("user:ada", {"type": "n", "n": n}) for n in range(2001))
    sent = [json.loads(call.body or b"") for call in many]
    assert list(map(len, sent)) == [1000, 1000, 1]
    assert [each["event"]["n"] for batch in sent for each in batch] == list(range(2001))
    assert len({each["idempotency_key"] for batch in sent for each in batch}) == 2001

    large = {"type": "large", "text": "é" * 150_000}
    sizes = [len(call.body or b"") for call in calling.publish_many([Publication("user:ada", large)] * 7)]
    assert len(sizes) == 3
    assert 900_000 < max(sizes) <= 1 << 20
    assert calling.publish_many([]) == []

    full = (1 << 20) - len(calling.publish_many([Publication("user:ada", {"type": ""})])[0].body or b"")
    (call,) = calling.publish_many([Publication("user:ada", {"type": "x" * full})])
    assert len(call.body or b"") == 1 << 20
    with pytest.raises(BadRequest, match="the gateway takes 1048576"):
        calling.publish_many([Publication("user:ada", {"type": "x" * (full + 1)})])


def test_of_batches_that_fail_the_error_tells_what_went_out() -> None:
    batches = calling.publish_many(Publication("user:ada", {"type": "x"}) for _ in range(1500))
    first = answer(200, [DELIVERED] * 1000)
    _, _, error = played(carry_out_all(batches, PATIENT), first, refusal(403))
    assert error.delivered == (Delivered(1, 2),) * 1000
    _, _, told = played(carry_out_all(batches, PATIENT), first, answer(200, [DELIVERED] * 500))
    assert told == [Delivered(1, 2)] * 1500


@pytest.mark.parametrize("event", [{"type": object()}, {"type": "x", "n": float("nan")}, {"type": "\ud800"}])
def test_what_is_no_json_is_refused_before_anything_is_sent(event: Any) -> None:
    with pytest.raises(BadRequest, match="must be JSON"):
        calling.publish("user:ada", event, None)


def test_of_the_next_pages_address_only_the_place_is_taken() -> None:
    told = {"results": [], "next": "https://elsewhere.example/api/connections?cursor=cD0x%3D&limit=1"}
    _, _, page = played(carry_out(LIST, PATIENT), answer(200, told))
    assert page.cursor == "cD0x="
