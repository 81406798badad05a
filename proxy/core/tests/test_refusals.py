"""One answer to who is refused, whichever server sends it."""

from __future__ import annotations

import json

from proxy.core.errors import Draining, GatewayError, TokenRefused, TooMany
from proxy.core.refusals import refusal, refusal_of


def test_a_refusal_says_what_the_error_says_when_to_come_back_and_is_not_to_be_kept() -> None:
    status, headers, body = refusal_of(TooMany("per_ip", limit=10, retry_after_seconds=1.2))
    assert (status, json.loads(body)["retry_after_ms"]) == (429, 1200)
    assert dict(headers) == {
        b"content-type": b"application/json",
        b"cache-control": b"no-store",
        b"retry-after": b"2",
    }


def test_a_route_may_have_a_status_of_its_own() -> None:
    assert refusal_of(TokenRefused("expired"), status=403).status == 403
    assert refusal_of(Draining("x")).status == 503


def test_who_asked_in_the_wrong_way_is_told_the_right_one() -> None:
    def told(status: int) -> dict[bytes, bytes]:
        return dict(refusal(status, code=GatewayError.code, message="no").headers)

    assert told(405)[b"allow"] == b"GET, HEAD"
    assert told(426)[b"upgrade"] == b"websocket"
    assert {b"allow", b"upgrade", b"retry-after"}.isdisjoint(told(400))
