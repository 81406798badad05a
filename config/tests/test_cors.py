"""Pages of other sites call the API where ALLOWED_ORIGINS lets them open sockets."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from config.testing.gateway import Gateway, issue

ALLOWED = ("https://play.example.com", "https://a.mini.example.org", "http://127.0.0.1:5173")
REFUSED = ("https://evil.example.com", "https://mini.example.org", "http://play.example.com", "null", "evil")
ASKED = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    env = {"ALLOWED_ORIGINS": "https://play.example.com, https://*.mini.example.org"}
    with Gateway.running("serve", tmp_path_factory.mktemp("gateway"), env) as gateway:
        yield gateway


def ask(gateway: Gateway, method: str, path: str, **headers: str) -> httpx.Response:
    url = f"http://127.0.0.1:{gateway.port}{path}"
    return httpx.request(method, url, headers=headers, trust_env=False, timeout=20)


@pytest.mark.parametrize("origin", ALLOWED)
def test_an_allowed_page_may_ask_and_read_what_it_is_answered(gateway: Gateway, origin: str) -> None:
    before = ask(gateway, "OPTIONS", "/api/events", Origin=origin, **ASKED)
    assert (before.status_code, before.content) == (200, b"")
    assert before.headers["Access-Control-Allow-Origin"] == origin
    assert before.headers["Access-Control-Allow-Headers"] == "authorization, content-type"
    assert before.headers["Access-Control-Allow-Methods"] == "GET, POST, DELETE"
    answers = [
        ask(gateway, "GET", "/api/connections", Origin=origin),
        ask(gateway, "GET", "/api/connections", Origin=origin, Authorization=f"Bearer {issue()}"),
        ask(gateway, "GET", "/api/nowhere", Origin=origin),
        ask(gateway, "GET", "/api/schema", Origin=origin),
    ]
    assert [each.status_code for each in answers] == [401, 403, 404, 200]
    for each in answers:
        assert each.headers["Access-Control-Allow-Origin"] == origin
        assert each.headers["Access-Control-Expose-Headers"] == "Retry-After"
        assert "Access-Control-Allow-Credentials" not in each.headers
        assert "origin" in each.headers["Vary"].lower()


@pytest.mark.parametrize("origin", REFUSED)
def test_any_other_page_may_not(gateway: Gateway, origin: str) -> None:
    before = ask(gateway, "OPTIONS", "/api/events", Origin=origin, **ASKED)
    answer = ask(gateway, "GET", "/api/schema", Origin=origin)
    for each in (before, answer):
        assert "Access-Control-Allow-Origin" not in each.headers
        assert "origin" in each.headers["Vary"].lower()


def test_pages_of_other_paths_are_nobodys_to_read(gateway: Gateway) -> None:
    for path in ("/", "/admin/login/"):
        answer = ask(gateway, "GET", path, Origin=ALLOWED[0])
        assert answer.status_code == 200
        assert "Access-Control-Allow-Origin" not in answer.headers
