"""Routes that look into messages: control messages are taken out, policies are asked, nothing slips past."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.core.closes import Close, ClosedBy
from proxy.core.policies import DROP, FORWARD, Policy, Verdict
from proxy.core.wire.framing import close_frame, text_frame
from proxy.core.wire.headers import BINARY, CONT, PING, TEXT
from proxy.core.wire.tests.frames import encode_frame
from proxy.engine.links.gated_leg import InspectedLeg
from proxy.engine.links.tests.dialogue import Dialogue
from proxy.engine.links.tests.policies import OneWay
from proxy.engine.links.tests.splicing import MASK, answer_to, masked

REFRESH = '{"type":"gateway.refresh","token":"abc"}'
ANSWER = text_frame(answer_to(REFRESH))


def said(*messages: str | bytes) -> list[bytes]:
    """A client's messages, a frame each."""
    return [
        masked(TEXT, each.encode()) if isinstance(each, str) else masked(BINARY, each) for each in messages
    ]


def test_control_messages_are_answered_and_never_forwarded() -> None:
    others = said("before", '{"type":"gate"}', b'{"type":"gateway.binary"}', "", "after")
    with Dialogue(control=True) as link:
        link.client.says(others[0], *said(REFRESH), *others[1:])
        link.wait()
        link.service.hears(*others)
        link.client.hears(ANSWER)


def test_a_control_message_is_found_however_it_is_fragmented() -> None:
    raw = REFRESH.encode()
    for cut in (0, 1, 9, 16, 17, 18, len(raw)):
        with Dialogue(control=True) as link:
            link.client.says(
                masked(TEXT, raw[:cut], fin=False) + masked(PING, b"x") + masked(CONT, raw[cut:])
            )
            link.client.hears(ANSWER)
            link.service.hears(masked(PING, b"x"))
    with Dialogue(control=True) as link:
        link.client.says(*(bytes([byte]) for byte in masked(TEXT, raw) + masked(TEXT, b"next")))
        link.wait()
        link.client.hears(ANSWER)
        link.service.hears(masked(TEXT, b"next"))


def test_messages_that_only_begin_like_control_messages_are_forwarded() -> None:
    for payload in (b'{"type":"gateway', b'{"type":"game"}', b'{"type":"gateway-' + b"x" * 300):
        whole = masked(TEXT, payload)
        pieces = masked(TEXT, payload[:5], fin=False), masked(CONT, payload[5:])
        with Dialogue(control=True) as link:
            link.client.says(whole + b"".join(pieces))
            link.service.hears(whole, *pieces)


def test_a_text_over_16_kib_is_no_control_message_whatever_it_says() -> None:
    long = REFRESH.encode() + b" " * 16 * 1024
    frames = masked(TEXT, long), masked(TEXT, long[:20], fin=False), masked(CONT, long[20:])
    with Dialogue(control=True) as link:
        link.client.says(*frames)
        link.wait()
        link.service.hears(*frames)


class Polite(Policy):
    """Drops `drop`, answers `ask`, closes on `close`, puts `…` in place of `say …`, forwards the rest."""

    def from_client(self, payload: bytes, *, is_text: bool) -> Verdict:
        return self.judge("in", payload, is_text=is_text)

    def from_service(self, payload: bytes, *, is_text: bool) -> Verdict:
        return self.judge("out", payload, is_text=is_text)

    def judge(self, direction: str, payload: bytes, *, is_text: bool) -> Verdict:
        if payload.startswith(b"drop"):
            return DROP
        if payload.startswith(b"ask"):
            return Verdict(forward=False, reply=f"{direction}:{'text' if is_text else 'binary'}")
        if payload.startswith(b"close"):
            return Verdict(forward=False, close=Close(1008, "invalid data"))
        if payload.startswith(b"say "):
            return Verdict(forward=True, payload=payload[4:])
        return FORWARD


def test_a_policy_forwards_drops_and_answers() -> None:
    one, _, _, _, empty, two = sent = said("one", "drop me", "ask", b"ask", "", b"two")
    with Dialogue(policy=Polite()) as link:
        link.client.says(*sent)
        link.wait()
        link.service.hears(one, empty, two)
        link.client.hears(text_frame("in:text"), text_frame("in:binary"))


def test_a_policy_is_asked_about_the_services_messages_and_answers_it() -> None:
    with Dialogue(policy=Polite()) as link:
        link.service.says(text_frame("drop me") + text_frame("ask") + text_frame("fine"))
        link.client.hears(text_frame("fine"))
        link.service.hears(text_frame("out:text"))


def test_a_policy_closes_both_ends() -> None:
    with Dialogue(policy=Polite()) as link:
        link.client.says(*said("close now", "too late"))
        link.client.hears(close_frame(1008, "invalid data"))
        link.service.hears(close_frame(1008, "invalid data"))
        assert link.splice.ended == (Close(1008, "invalid data"), ClosedBy.GATEWAY)


def test_what_a_policy_lets_through_of_one_read_shares_a_write() -> None:
    to_service, to_client = said("one", "two", "three"), [text_frame("one"), text_frame("two")]
    with Dialogue(policy=Polite()) as link:
        link.client.says(b"".join(to_service))
        link.service.says(b"".join(to_client))
        link.service.hears(*to_service)
        link.client.hears(*to_client)
        assert (link.service.writes, link.client.writes) == (1, 1)


def test_what_a_policy_let_through_comes_before_its_close() -> None:
    one, two = text_frame("one"), text_frame("two")
    with Dialogue(policy=Polite()) as link:
        link.service.says(one + two + text_frame("close") + text_frame("too late"))
        link.client.hears(one, two, close_frame(1008, "invalid data"))
    assert link.counters.messages_out == 2


def test_a_policy_that_fails_closes_with_1011() -> None:
    class Broken(Policy):
        def from_client(self, payload: bytes, *, is_text: bool) -> Verdict:
            return Verdict(forward=bool(json.loads(payload)))

    with Dialogue(policy=Broken()) as link:
        link.client.says(*said("not JSON"))
        link.client.hears(close_frame(1011, "internal error"))
    assert [error.hook for error in link.failures] == ["policy"]


@pytest.mark.parametrize(
    "wrong",
    [
        Verdict(forward=True, payload="text"),  # type: ignore[arg-type]
        Verdict(forward=False, reply={"code": "no text"}),  # type: ignore[arg-type]
        Verdict(forward=False, close=1008),  # type: ignore[arg-type]
        Verdict(forward=False, pause_seconds=float("inf")),
        None,
    ],
    ids=str,
)
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_verdict_that_cannot_be_obeyed_is_the_policys_failure(opcode: int, wrong: Any) -> None:
    class Wrong(Policy):
        def from_client(self, payload: bytes, *, is_text: bool) -> Verdict:
            return wrong  # type: ignore[no-any-return]

    with Dialogue(policy=Wrong()) as link:
        link.client.says(masked(opcode, b"a secret"))
        link.client.hears(close_frame(1011, "internal error"))
    (failure,) = link.failures
    assert failure.hook == "policy"
    assert "secret" not in repr(failure.__cause__)


def test_a_client_that_answers_the_close_is_heard_at_once_however_long_it_was_to_wait() -> None:
    class Patient(Polite):
        def judge(self, direction: str, payload: bytes, *, is_text: bool) -> Verdict:
            if payload == b"wait":
                return Verdict(forward=False, pause_seconds=3.0)
            return super().judge(direction, payload, is_text=is_text)

    with Dialogue(policy=Patient()) as link:
        link.client.says(b"".join(said("wait", "close")), close_frame(1008, mask=MASK))
        link.service.says(close_frame(1008))
        link.wait(0.1)
        assert link.end is not None


def test_no_message_gets_past_a_policy_in_pieces() -> None:
    seen: list[bytes] = []

    class Noting(Polite):
        def judge(self, direction: str, payload: bytes, *, is_text: bool) -> Verdict:
            seen.append(payload)
            return super().judge(direction, payload, is_text=is_text)

    kept = masked(TEXT, b"", fin=False), masked(CONT, b"kept")
    with Dialogue(policy=Noting()) as link:
        link.client.says(masked(TEXT, b"dr", fin=False) + masked(PING, b"between"))
        link.client.says(masked(CONT, b"op", fin=False) + masked(CONT, b" me") + b"".join(kept))
        link.service.hears(masked(PING, b"between"), *kept)
    assert seen == [b"drop me", b"kept"]


def test_what_a_policy_forwards_is_the_original_frames() -> None:
    wire = encode_frame(TEXT, b"a", fin=False) + encode_frame(CONT, b"") + encode_frame(BINARY, b"b" * 70_000)
    with Dialogue(policy=Polite()) as link:
        link.service.says(wire[:40_000], wire[40_000:] + text_frame("end"))
        link.wait()
        assert link.client.written == wire + text_frame("end")


def test_control_messages_are_taken_out_of_an_inspected_route_too() -> None:
    with Dialogue(policy=Polite(), control=True) as link:
        link.client.says(*said(REFRESH, "next"))
        link.wait()
        link.client.hears(ANSWER)
        link.service.hears(*said("next"))


def test_what_a_policy_puts_in_place_of_a_message_goes_out_as_one_frame_of_its_kind() -> None:
    with Dialogue(policy=Polite()) as link:
        link.client.says(masked(TEXT, b"say ", fin=False) + masked(CONT, "grüezi".encode()))
        link.service.hears(text_frame("grüezi"))
        assert link.service.frames()[0][1] & 0x80, "towards a service it has to be masked"
        link.client.says(*said(b"say " + b"x" * 70_000, "say "))
        link.service.hears(encode_frame(BINARY, b"x" * 70_000), text_frame(""))
        link.service.says(text_frame("say hello"))
        link.client.hears(text_frame("hello"))


def test_each_frame_that_is_put_in_place_of_another_has_a_mask_of_its_own() -> None:
    with Dialogue(policy=Polite()) as link:
        link.client.says(*said(*["say again"] * 20))
        link.wait()
        assert len({frame[2:6] for frame in link.service.frames()}) > 1


def test_what_a_policy_puts_in_place_of_a_text_has_to_be_one() -> None:
    class Binary(Policy):
        def from_client(self, payload: bytes, *, is_text: bool) -> Verdict:
            return Verdict(forward=True, payload=b"\xff")

    with Dialogue(policy=Binary()) as link:
        link.client.says(*said(b"fine", "not so"))
        link.service.hears(encode_frame(BINARY, b"\xff"), close_frame(1011, "internal error"))
    assert [error.hook for error in link.failures] == ["policy"]


def test_a_way_that_a_policy_does_not_look_at_is_spliced() -> None:
    with Dialogue(policy=OneWay()) as link:
        assert not isinstance(link.splice.up, InspectedLeg)
        begun = encode_frame(TEXT, b"be", fin=False)
        link.service.says(begun)
        link.client.hears(begun)
