"""What a browser is told with every page, and what a proxy that ends TLS may say."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from config.testing.gateway import Gateway
from config.testing.starts import BASE_DIR
from config.tests.conftest import MakeGateway

HOST = "gateway.example.org"
PASSWORD = "correct horse battery"
BEHIND_TLS = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Trusts 127.0.0.1; has the superuser ada."""
    env = {"TRUSTED_PROXIES": "127.0.0.1", "ALLOWED_HOSTS": HOST, "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    gateway = Gateway("serve", tmp_path_factory.mktemp("gateway"), env)
    try:
        gateway.migrate()
        gateway.manage("createsuperuser", "--no-input", "--username", "ada", "--email", "ada@example.org")
        gateway.start()
        yield gateway
    finally:
        gateway.close()


def ask(gateway: Gateway, path: str, *, method: str = "GET", **headers: str) -> httpx.Response:
    url = f"http://127.0.0.1:{gateway.port}{path}"
    named = {"Host": HOST} | {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.request(method, url, headers=named, trust_env=False, timeout=10)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/admin/login/", 200),
        ("/admin/", 302),
        ("/nowhere", 404),
        ("/%00", 400),
        ("/static/proxy/page.css", 200),
    ],
)
def test_every_page_carries_the_policies(gateway: Gateway, path: str, status: int) -> None:
    answer = ask(gateway, path)

    assert answer.status_code == status
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert "camera=()" in answer.headers["Permissions-Policy"]


def test_pages_that_say_no_carry_them_too(gateway: Gateway) -> None:
    foreign = ask(gateway, "/admin/", Host="evil.example")
    no_token = ask(gateway, "/admin/login/", method="POST")

    assert (foreign.status_code, no_token.status_code) == (400, 403)
    for answer in (foreign, no_token):
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        assert "<style" not in answer.text


def test_what_the_server_itself_answers_has_a_policy_and_no_style(gateway: Gateway) -> None:
    answer = ask(gateway, "/", X_Odd="a\x01b")

    assert answer.status_code == 400
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'"
    assert "<style" not in answer.text


@pytest.mark.parametrize("proto", ["https", "HTTPS", "https, http"])
def test_hsts_is_sent_to_who_came_by_tls(gateway: Gateway, proto: str) -> None:
    assert ask(gateway, "/", X_Forwarded_Proto=proto).headers["Strict-Transport-Security"] == "max-age=3600"


@pytest.mark.parametrize("proto", ["http", "http, https", "", "httpsx"])
def test_hsts_is_not_sent_to_who_did_not(gateway: Gateway, proto: str) -> None:
    assert "Strict-Transport-Security" not in ask(gateway, "/", X_Forwarded_Proto=proto).headers


def test_a_login_behind_tls_needs_no_other_setting_and_its_cookies_stay_there(gateway: Gateway) -> None:
    with httpx.Client(headers={"Host": HOST, **BEHIND_TLS}, trust_env=False, timeout=10) as browser:
        url = f"http://127.0.0.1:{gateway.port}/admin/login/"
        page = browser.get(url)
        token = re.findall(r'csrfmiddlewaretoken" value="([^"]+)', page.text)[0]
        form = {"username": "ada", "password": PASSWORD, "csrfmiddlewaretoken": token}
        # httpx, which speaks plain HTTP to the gateway, would not send back a cookie for TLS only
        cookies = {"Cookie": page.headers["set-cookie"].partition(";")[0], "Origin": f"https://{HOST}"}
        answer = browser.post(url, data=form, headers=cookies)

    assert answer.status_code == 302
    for cookie in [*page.headers.get_list("set-cookie"), *answer.headers.get_list("set-cookie")]:
        assert "; Secure" in cookie


def test_who_is_no_trusted_proxy_cannot_claim_tls(make_gateway: MakeGateway) -> None:
    answer = ask(make_gateway(), "/", Host="127.0.0.1", X_Forwarded_Proto="https")

    assert answer.status_code == 200
    assert "Strict-Transport-Security" not in answer.headers


def test_static_files_are_whole_and_known_again(gateway: Gateway) -> None:
    path = "/static/proxy/page.css"
    first = ask(gateway, path)
    again = ask(gateway, path, If_Modified_Since=first.headers["Last-Modified"])
    part = ask(gateway, path, Range="bytes=2-5")

    assert first.headers["Content-Type"].startswith("text/css")
    assert len(first.content) == (BASE_DIR / "proxy/static/proxy/page.css").stat().st_size
    assert (again.status_code, again.content) == (304, b"")
    assert (part.status_code, part.content) == (206, first.content[2:6])
