"""Routes that look into messages: control messages are taken out, policies are asked, nothing slips past."""

from __future__ import annotations

import json

from proxy.core.closes import Close, ClosedBy
from proxy.core.verdicts import DROP, FORWARD, Direction, Verdict
from proxy.core.wire.framing import close_frame, text_frame
from proxy.core.wire.headers import BINARY, CONT, PING, TEXT
from proxy.core.wire.tests.frames import encode_frame
from proxy.engine.links.tests.dialogue import Dialogue
from proxy.engine.links.tests.splicing import answer_to, masked

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


def polite(direction: Direction, opcode: int, payload: bytes) -> Verdict:
    """A policy: drops `drop`, answers `ask`, closes on `close`, forwards the rest."""
    text = payload.decode("utf-8", "replace")
    if text.startswith("drop"):
        return DROP
    if text.startswith("ask"):
        return Verdict(forward=False, reply=f"{direction}:{opcode}")
    if text.startswith("close"):
        return Verdict(forward=False, close=Close(1008, "invalid data"))
    return FORWARD


def test_a_policy_forwards_drops_and_answers() -> None:
    one, _, _, _, empty, two = sent = said("one", "drop me", "ask", b"ask", "", b"two")
    with Dialogue(inspect=polite) as link:
        link.client.says(*sent)
        link.wait()
        link.service.hears(one, empty, two)
        link.client.hears(text_frame("in:1"), text_frame("in:2"))


def test_a_policy_is_asked_about_the_services_messages_and_answers_it() -> None:
    with Dialogue(inspect=polite) as link:
        link.service.says(text_frame("drop me") + text_frame("ask") + text_frame("fine"))
        link.client.hears(text_frame("fine"))
        link.service.hears(text_frame("out:1"))


def test_a_policy_closes_both_ends() -> None:
    with Dialogue(inspect=polite) as link:
        link.client.says(*said("close now", "too late"))
        link.client.hears(close_frame(1008, "invalid data"))
        link.service.hears(close_frame(1008, "invalid data"))
        assert link.splice.ended == (Close(1008, "invalid data"), ClosedBy.GATEWAY)


def test_a_policy_that_fails_closes_with_1011() -> None:
    def broken(direction: Direction, opcode: int, payload: bytes) -> Verdict:
        return Verdict(forward=bool(json.loads(payload)))

    with Dialogue(inspect=broken) as link:
        link.client.says(*said("not JSON"))
        link.client.hears(close_frame(1011, "internal error"))


def test_no_message_gets_past_a_policy_in_pieces() -> None:
    seen: list[bytes] = []

    def note(direction: Direction, opcode: int, payload: bytes) -> Verdict:
        seen.append(payload)
        return polite(direction, opcode, payload)

    kept = masked(TEXT, b"", fin=False), masked(CONT, b"kept")
    with Dialogue(inspect=note) as link:
        link.client.says(masked(TEXT, b"dr", fin=False) + masked(PING, b"between"))
        link.client.says(masked(CONT, b"op", fin=False) + masked(CONT, b" me") + b"".join(kept))
        link.service.hears(masked(PING, b"between"), *kept)
    assert seen == [b"drop me", b"kept"]


def test_what_a_policy_forwards_is_the_original_frames() -> None:
    wire = encode_frame(TEXT, b"a", fin=False) + encode_frame(CONT, b"") + encode_frame(BINARY, b"b" * 70_000)
    with Dialogue(inspect=polite) as link:
        link.service.says(wire[:40_000], wire[40_000:] + text_frame("end"))
        link.wait()
        assert link.client.written == wire + text_frame("end")


def test_control_messages_are_taken_out_of_an_inspected_route_too() -> None:
    with Dialogue(inspect=polite, control=True) as link:
        link.client.says(*said(REFRESH, "next"))
        link.wait()
        link.client.hears(ANSWER)
        link.service.hears(*said("next"))
