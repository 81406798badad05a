"""A caller of the API, with a key or a token."""

from __future__ import annotations

import json
from typing import Any

from django.test import Client
from django.utils import timezone

from proxy.core.rights import Rights
from proxy.tables.api_keys import make
from proxy.tokens import token_verifier


def get(path: str, *, by: str) -> tuple[int, Any]:
    answer = Client().get(path, headers={"Authorization": by})
    return answer.status_code, answer.json()


def results(path: str, by: str, field: str = "id") -> list[Any]:
    """That field of each row of a page."""
    code, told = get(path, by=by)
    assert code == 200, told
    return [each[field] for each in told["results"]]


def post(body: object, *, by: str = "", path: str = "/api/events") -> tuple[int, Any]:
    text = body if isinstance(body, str) else json.dumps(body)
    headers = {"Authorization": by} if by else {}
    answer = Client().post(path, text, content_type="application/json", headers=headers)
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.status_code, answer.json()


def may(*rights: str) -> str:
    """A key that has these rights of staff: `view_refusal`, say."""
    own = {"view_connection": "list_connections", "kick_connection": "kick", "revoke_tokens": "revoke"}
    others = tuple(f"proxy.{right}" for right in rights if right not in own)
    return key(others=others, **{own[right]: True for right in rights if right in own})


def key(*topics: str, **rights: Any) -> str:
    return f"Api-Key {make('game', Rights(publish=topics, **rights))}"


def token(user: str, **claims: Any) -> str:
    made = {"sub": user, "exp": int(timezone.now().timestamp()) + 60, **claims}
    return f"Bearer {token_verifier().backend.encode(made)}"
