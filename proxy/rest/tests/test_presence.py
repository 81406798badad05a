"""GET /api/presence/TOPIC: who may ask, and what is refused. config/tests/contract has the nodes."""

from __future__ import annotations

import pytest

from proxy.cluster.questions import LayerAway
from proxy.rest import presence
from proxy.rest.tests.calling import get, key


@pytest.mark.django_db
def test_nobody_is_on_a_topic_that_nobody_hears() -> None:
    mine = key(list_connections=True)
    for topic in ("everyone", "user:ada", "experience:a%2Fb%20c"):
        assert get(f"/api/presence/{topic}", by=mine) == (200, {"nodes": 0, "links": 0, "who": []})


@pytest.mark.django_db
def test_who_may_not_list_connections_learns_nothing() -> None:
    status, told = get("/api/presence/everyone", by=key("*", kick=True))
    assert (status, told["code"]) == (403, "forbidden")
    assert get("/api/presence/everyone", by="")[0] == 401


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("nonsense", "a topic is"),
        ("nobodys:1", "a topic is"),
        ("everyone?limit=10001", "limit: Ensure this value is less than or equal to 10000"),
        ("everyone?limit=x", "limit: A valid integer is required"),
        ("everyone?named=5", "no such field: named"),
    ],
)
def test_what_could_not_be_meant_is_refused(asked: str, says: str) -> None:
    status, told = get(f"/api/presence/{asked}", by=key(list_connections=True))
    assert (status, told["code"]) == (400, "bad_request")
    assert says in told["message"]


@pytest.mark.django_db
def test_without_redis_nobody_can_say(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise LayerAway("Redis is away: refused")

    monkeypatch.setattr(presence, "presence", away)
    status, told = get("/api/presence/everyone", by=key(list_connections=True))
    assert (status, told) == (
        503,
        {"code": "redis_away", "message": "Redis is away, or has not answered in time."},
    )
