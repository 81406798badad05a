"""Answers to in-band control messages, without a socket."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from proxy.core.errors import KeysUnavailable, TokenRefused
from proxy.core.principal import Principal
from proxy.core.records import ConnectionRecord
from proxy.engine.links.link import Link
from proxy.socket import control

EXPIRES_AT = time.time() + 60


def a_link(user_id: str = "ada") -> Link:
    record = ConnectionRecord(id="c1", route="experience", opened_at=datetime.now(UTC), user_id=user_id)
    return Link(record, topics=())


def asked(text: str, *, verdict: Principal | Exception) -> tuple[dict[str, Any], list[Principal]]:
    """The answer to `text`, and the principals that the link was extended for."""
    extended: list[Principal] = []

    def verify(_: str) -> Principal:
        if isinstance(verdict, Exception):
            raise verdict
        return verdict

    answer = control.answer(a_link(), text, verify=verify, extend=extended.append)
    return json.loads(answer), extended


def of(user_id: str) -> Principal:
    return Principal(user_id=user_id, email="", expires_at=EXPIRES_AT, claims={}, token="t")


REFRESH = '{"type":"gateway.refresh","token":"t"}'


def test_a_fresh_token_of_the_same_subject_extends_the_link() -> None:
    answer, extended = asked(REFRESH, verdict=of("ada"))

    assert answer == {"type": "gateway.refreshed", "expires_at": control.isoformat(EXPIRES_AT)}
    assert [principal.user_id for principal in extended] == ["ada"]


@pytest.mark.parametrize("verdict", [of("bob"), TokenRefused("signature")], ids=["other", "bad"])
def test_a_token_of_somebody_else_or_a_bad_one_is_answered_with_invalid_token(
    verdict: Principal | Exception,
) -> None:
    answer, extended = asked(REFRESH, verdict=verdict)

    assert (answer["type"], answer["code"], extended) == ("error", "invalid_token", [])


def test_a_refresh_while_the_issuers_keys_are_away_is_told_to_try_again_and_the_link_lives_on() -> None:
    answer, extended = asked(REFRESH, verdict=KeysUnavailable("no keys yet"))

    assert (answer["type"], answer["code"], extended) == ("error", "keys_unavailable", [])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"type":"gateway.nonsense"}', "unknown_control"),
        ('{"type":"gateway.refresh"', "invalid_control"),
        ('{"type":"gateway.refresh"}', "invalid_token"),
        ('{"type":"gateway.refresh","token":7}', "invalid_token"),
    ],
)
def test_what_is_no_refresh_is_answered_with_what_is_wrong(text: str, code: str) -> None:
    answer, extended = asked(text, verdict=of("ada"))

    assert (answer["type"], answer["code"], extended) == ("error", code, [])
