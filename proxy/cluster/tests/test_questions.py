"""The dialogue of who asks: what Redis is told, and when nobody is waited for. Without a Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from proxy.cluster import questions
from proxy.cluster.questions import Answers, Command, LayerAway, Place, Sent, Silences, conversation


def asked(*channels: str, is_patient: bool = False) -> list[Sent]:
    return [
        Sent(channel, b"message", "", Place("gateway:answers:x", number, 10), ("", "", "", ""), is_patient)
        for number, channel in enumerate(channels)
    ]


def played(
    sent: Sequence[Sent], silences: Silences, *, reached: int, said: Sequence[dict[str, str]] = ()
) -> tuple[list[Command], list[Answers]]:
    """What Redis is told; each signal reaches so many, who answer each of `said` at one look."""
    told, entries = [], list(said)
    talk = conversation(sent, silences)
    command = next(talk)
    try:
        while True:
            told.append(command)
            if command[0] == "evalsha":
                command = talk.send([reached] * ((len(command[1]) - 2) // 8))
            else:
                at = f"{len(told)}-0"
                command = talk.send([(b"gateway:answers:x", [(at, entries.pop(0))])] if entries else [])
    except StopIteration as end:
        return told, end.value


def waits(told: Sequence[Command]) -> list[int | None]:
    return [words[2] for name, words in told if name == "xread"]


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "ANSWER_SECONDS", 0.001)


def test_many_are_published_before_any_answer_is_read() -> None:
    told, answers = played(
        asked(*["c"] * 250), Silences(), reached=1, said=[dict.fromkeys(map(str, range(250)), "1")]
    )
    assert [name for name, _ in told] == ["evalsha"] * 3 + ["xread"]
    assert answers == [Answers(("1",))] * 250


@pytest.mark.usefixtures("_hasty")
def test_who_was_silent_is_not_waited_for_again_but_looked_at() -> None:
    silences = Silences()
    _, (first,) = played(asked("c"), silences, reached=1)
    assert first == Answers((), silent=1)
    told, (second,) = played(asked("c"), silences, reached=1)
    assert (waits(told), second.silent) == ([None], 1)
    told, (third,) = played(asked("c"), silences, reached=2, said=[{"0": "1"}])
    assert (waits(told)[1:], third) == ([None], Answers(("1",), silent=1))
    told, _ = played(asked("other"), silences, reached=1)
    assert waits(told)[0] is not None


@pytest.mark.usefixtures("_hasty")
def test_who_answers_again_is_waited_for_again() -> None:
    silences = Silences()
    played(asked("c"), silences, reached=2)
    assert silences.of("c") == 2
    played(asked("c"), silences, reached=2, said=[{"0": "1"}])
    assert silences.of("c") == 0


@pytest.mark.usefixtures("_hasty")
def test_the_patient_wait_for_everybody_and_learn_nothing_for_others() -> None:
    silences = Silences()
    played(asked("c", is_patient=True), silences, reached=1)
    assert silences.of("c") == 0
    played(asked("c"), silences, reached=1)
    told, _ = played(asked("c", is_patient=True), silences, reached=1)
    assert waits(told)[0] is not None


@pytest.mark.usefixtures("_hasty")
def test_silence_is_remembered_for_some_seconds_and_of_so_many_channels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    silences = Silences()
    for number in range(3 * questions._MOST_SILENCES):
        silences.note(str(number), 1, is_sure=True)
    assert 0 < len(silences._known) <= questions._MOST_SILENCES
    monkeypatch.setattr(questions, "SILENT_SECONDS", 0)
    silences.note("c", 1, is_sure=True)
    assert silences.of("c") == 0


def test_a_redis_that_is_lost_while_answers_are_read_makes_nobody_known_as_silent() -> None:
    silences = Silences()
    talk = conversation(asked("c"), silences)
    next(talk)
    talk.send([1])
    with pytest.raises(StopIteration) as end:
        talk.throw(LayerAway("gone"))
    answers: Any = end.value.value
    assert (answers, silences.of("c")) == ([Answers((), silent=1)], 0)
