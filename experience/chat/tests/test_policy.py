"""What becomes of one link's messages: verdicts, answers and counts. No sockets."""

from __future__ import annotations

import json
import logging

import pytest
from prometheus_client import REGISTRY

from experience.chat import counts
from experience.chat.filters import ContentRefused, mask_words
from experience.chat.messages import (
    ConversationChanged,
    InvalidMessage,
    MessageSend,
    Ping,
    ServicePong,
    TypingSet,
    encode,
)
from experience.chat.policy import ChatPolicy, ChatRules, ServiceLog
from proxy.core.limits import Rate
from proxy.core.policies import DROP, FORWARD, LinkLog, Verdict, check
from proxy.core.principal import Principal
from proxy.core.routes import Subject


def subject(user: str = "alice") -> Subject:
    return Subject(connection_id="c-1", principal=Principal(user_id=user), query={}, route="chat")


def policy(rules: ChatRules | None = None) -> ChatPolicy:
    return (rules or ChatRules()).policy(subject())


def said(policy: ChatPolicy, payload: bytes | str, *, is_text: bool = True) -> Verdict:
    payload = payload.encode() if isinstance(payload, str) else payload
    verdict = policy.from_client(payload, is_text=is_text)
    check(verdict, is_text=is_text)
    return verdict


def counted(name: str, **labels: str) -> float:
    counts.write()
    return REGISTRY.get_sample_value(name, labels) or 0.0


def no_links(message: MessageSend, user_id: str) -> str:
    if "https://" in message.text:
        raise ContentRefused(f"{user_id} may not send links.")
    return message.text


SEND = encode(MessageSend("c1", "hello", "k"))


@pytest.mark.parametrize("message", [SEND, encode(TypingSet("c1", "on")), encode(Ping())])
def test_a_valid_message_goes_on_as_its_original_frame(message: str) -> None:
    assert said(policy(), message) is FORWARD


def test_binary_passes_both_ways() -> None:
    link = policy()
    assert said(link, b"\x00\xff", is_text=False) is FORWARD
    assert link.from_service(b"\x00\xff", is_text=False) is FORWARD


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        ("{", {"code": "invalid_json"}),
        ('{"type":"ping","x":1}', {"code": "validation_error", "field": "x", "message": "x: is unknown"}),
        (
            '{"type":"message.send","conversation_id":"c","idempotency_key":"k"}',
            {"code": "validation_error", "field": "text", "idempotency_key": "k"},
        ),
    ],
)
def test_a_mistake_is_answered_and_goes_nowhere(payload: str, told: dict[str, str]) -> None:
    verdict = said(policy(), payload)
    assert (verdict.forward, verdict.payload, verdict.close) == (False, None, None)
    assert verdict.reply is not None
    answer = json.loads(verdict.reply)
    assert {"type": "error"} | told == {name: answer[name] for name in ("type", *told)}
    assert answer["message"]


def test_the_mistakes_of_a_minute_are_bounded_link_by_link() -> None:
    rules = ChatRules(error_rate=Rate(3, 60))
    link, other = policy(rules), policy(rules)
    for _ in range(3):
        assert said(link, "{").close is None
        assert said(link, SEND) is FORWARD
    last = said(link, "{")
    assert last.close is not None
    assert (last.close.code, last.close.reason) == (1008, "too many invalid messages")
    assert said(other, "{").close is None


def test_a_service_that_says_no_message_is_not_passed_on_and_the_log_stays_readable(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experience.chat.policy._service_log", ServiceLog())
    before = counted("gateway_chat_invalid_messages_total", direction="out", code="validation_error")
    link = policy()
    with caplog.at_level(logging.WARNING, logger="policy"):
        for _ in range(1000):
            assert link.from_service(b'{"type":"gateway.closing","token":"secret"}', is_text=True) is DROP
        assert link.from_service(encode(ServicePong()).encode(), is_text=True) is FORWARD
    after = counted("gateway_chat_invalid_messages_total", direction="out", code="validation_error")
    assert after - before == 1000
    assert 0 < len(caplog.records) <= 11
    assert "secret" not in "".join(str(vars(record)) for record in caplog.records)


def test_the_log_says_how_much_it_left_out(caplog: pytest.LogCaptureFixture) -> None:
    log, mistake = ServiceLog(), InvalidMessage.of("text", "is missing")
    with caplog.at_level(logging.WARNING, logger="policy"):
        for _ in range(15):
            log.tell(LinkLog({"connection_id": "c-1"}), mistake)
        log._lines._full_at = 0.0  # a minute later
        log.tell(LinkLog({"connection_id": "c-1"}), mistake)
    assert [vars(record)["left_out"] for record in caplog.records] == [0] * 10 + [5]
    assert vars(caplog.records[0])["connection_id"] == "c-1"


def test_what_is_let_through_is_counted_by_type_with_its_size() -> None:
    def of(direction: str, type_: str) -> float:
        return counted("gateway_chat_messages_total", direction=direction, type=type_)

    def sizes(name: str, **labels: str) -> float:
        return counted(f"gateway_chat_message_size_bytes_{name}", **labels)

    link, before = policy(), (of("in", "message.send"), of("out", "conversation.changed"))
    in_all, in_sum, small = sizes("count", direction="in"), sizes("sum", direction="in"), 0.0
    small = sizes("bucket", direction="in", le="128.0")
    said(link, SEND)
    said(link, encode(MessageSend("c1", "x" * 500)))
    said(link, "{")
    link.from_service(encode(ConversationChanged("c1", ("a", "b"))).encode(), is_text=True)
    assert (of("in", "message.send"), of("out", "conversation.changed")) == (before[0] + 2, before[1] + 1)
    assert sizes("count", direction="in") == in_all + 2
    assert sizes("bucket", direction="in", le="128.0") == small + 1
    assert sizes("sum", direction="in") == in_sum + len(SEND) + len(encode(MessageSend("c1", "x" * 500)))


def test_no_label_is_a_clients() -> None:
    link = policy()
    for name in ("message.sent", "x" * 50, "gateway.x"):
        said(link, json.dumps({"type": name}))
        link.from_service(json.dumps({"type": name}).encode(), is_text=True)
    counts.write()
    labels = {
        sample.labels["type"]
        for family in REGISTRY.collect()
        if family.name == "gateway_chat_messages"
        for sample in family.samples
    }
    assert labels <= {
        "message.send", "typing.set", "read.set", "ping", "pong", "binary", "error",
        "message.created", "message.read",
        "conversation.typing", "conversation.blocked", "conversation.unblocked",
        "conversation.changed",
    }  # fmt: skip


def test_a_masked_text_goes_on_in_place_of_the_message() -> None:
    link = policy(ChatRules(content_filter=mask_words(["heck"])))
    before = counted("gateway_chat_filtered_messages_total", outcome="masked")
    assert said(link, SEND) is FORWARD
    assert said(link, encode(TypingSet("heck", "on"))) is FORWARD
    verdict = said(link, encode(MessageSend("c1", 'what the "heck"\n', "heck")))
    assert verdict.forward
    assert verdict.payload is not None
    assert json.loads(verdict.payload) == {
        "type": "message.send",
        "conversation_id": "c1",
        "text": 'what the "****"\n',
        "idempotency_key": "heck",
    }
    assert counted("gateway_chat_filtered_messages_total", outcome="masked") == before + 1


def test_a_filter_may_keep_a_message_back_and_its_sender_is_told_why() -> None:
    link = policy(ChatRules(content_filter=no_links, error_rate=Rate(1, 60)))
    for _ in range(5):  # who is refused has made no mistake
        verdict = said(link, encode(MessageSend("c1", "https://example.org", "k")))
        assert not verdict.forward
        assert verdict.reply is not None
        assert json.loads(verdict.reply) == {
            "type": "error",
            "code": "content_refused",
            "message": "alice may not send links.",
            "idempotency_key": "k",
        }
    assert said(link, SEND) is FORWARD


@pytest.mark.parametrize("made", ["", " ", "\x00", None, 7])
def test_a_filter_that_makes_no_text_of_a_text_has_failed(made: object) -> None:
    link = policy(ChatRules(content_filter=lambda message, user_id: made))  # type: ignore[arg-type,return-value]
    with pytest.raises((InvalidMessage, TypeError)):
        said(link, SEND)
