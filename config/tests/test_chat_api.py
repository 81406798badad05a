"""The chat's HTTP API at a running gateway, with the settings that nobody changed."""

from __future__ import annotations

import httpx

from config.testing.gateway import issue
from config.tests.conftest import MakeGateway


def test_users_of_a_gateway_make_a_conversation_and_find_it(make_gateway: MakeGateway) -> None:
    gateway = make_gateway()
    where = f"http://127.0.0.1:{gateway.port}/api/chat/conversations"
    alice, bob = ({"Authorization": f"Bearer {issue(user)}"} for user in ("alice", "bob"))
    with httpx.Client(timeout=30, trust_env=False) as client:
        made = client.post(where, json={"participants": ["bob"]}, headers=alice)
        assert (made.status_code, made.json()["participants"]) == (201, ["alice", "bob"])
        found = client.get(where, headers=bob).json()["conversations"]
        assert [each["id"] for each in found] == [made.json()["id"]]
        assert client.get(where).status_code == 401
