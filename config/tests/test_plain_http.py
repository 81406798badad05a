"""What plain HTTP is told where it has nothing to ask, and what the log says of it: one line each."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest

from config.testing.gateway import Gateway, issue
from experience.routes import ROUTES

# What a path captures stands there by its name.
SOCKET_PATHS = [
    "/" + re.sub(r"<\w+:(\w+)>", r"\1", path)
    for route in ROUTES
    for path in route.paths
    if path != "socket.io/"
]
PROBES = ["/health", "/ready", "/metrics"]
Answer = tuple[int, dict[str, str], str]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    pages = {
        "EXTRA_APPS": "experience,config.tests.with_pages",
        "BODY_PATHS": "/told/",
        "CHAT_SERVICE_URL": "",
    }
    with Gateway.running("serve", tmp_path_factory.mktemp("gateway"), pages) as gateway:
        yield gateway


def ask(
    gateway: Gateway, path: str, *, method: str = "GET", host: str = "localhost", body: str = ""
) -> Answer:
    with closing(http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)) as connection:
        connection.request(method, path, body=body or None, headers={"Host": host})
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, headers, answer.read().decode()


@pytest.mark.parametrize("path", SOCKET_PATHS)
def test_a_path_of_sockets_says_that_an_upgrade_is_missing(gateway: Gateway, path: str) -> None:
    for method in ("GET", "POST"):
        status, headers, body = ask(gateway, path, method=method)
        assert (status, headers["upgrade"]) == (426, "websocket")
        assert headers["sec-websocket-version"] == "13"
        assert "upgrade" in headers["connection"].lower()  # RFC 9110, 7.8
        assert "Upgrade: websocket" in json.loads(body)["message"]


@pytest.mark.parametrize("path", PROBES)
def test_a_post_to_a_probe_is_a_405_with_and_without_a_body(gateway: Gateway, path: str) -> None:
    for body in ("", "x"):
        status, headers, told = ask(gateway, path, method="POST", body=body)
        assert (status, headers["allow"]) == (405, "GET, HEAD")
        assert json.loads(told) == {"code": "bad_request", "message": "GET or HEAD, please."}


def test_a_page_of_an_app_takes_a_body_where_settings_say_so(gateway: Gateway) -> None:
    status, _, told = ask(gateway, "/told/here?a=1", method="POST", body="hello")
    assert (status, told) == (200, '{"bytes": 5}')
    status, _, told = ask(gateway, "/untold", method="POST", body="hello")
    assert (status, json.loads(told)["message"]) == (413, "No body is taken here.")
    assert ask(gateway, "/untold", method="POST")[0] == 200
    assert ask(gateway, "/admin/login/", method="POST", body="hello")[0] == 403  # it lacks its form's token


def test_a_foreign_host_is_a_400_and_one_line_without_a_traceback(gateway: Gateway) -> None:
    status, _, page = ask(gateway, "/", host="evil.example")
    assert status == 400
    assert "host name" in page
    said = gateway.program.wait_for_output(r".*Invalid HTTP_HOST.*")
    line = json.loads(said.group(0))
    assert line["level"] == "warning"
    assert "evil.example" in line["event"]
    assert "Traceback" not in gateway.program.output


@pytest.mark.parametrize("path", ["/", "/nowhere", "/admin/login/"])
def test_pages_name_an_icon_so_that_browsers_look_for_no_other(gateway: Gateway, path: str) -> None:
    _, _, page = ask(gateway, path)
    icon = page.partition('<link rel="icon" href="')[2].partition('"')[0]
    status, headers, _ = ask(gateway, icon)
    assert (status, headers["content-type"].partition(";")[0]) == (200, "image/svg+xml")


def test_ready_says_nothing_of_a_redis_that_there_is_none_of(gateway: Gateway) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)) as connection:
        connection.request("GET", "/ready")
        assert json.loads(connection.getresponse().read())["redis"] is None


def test_a_route_that_nobody_configured_looks_like_none_that_is_down(gateway: Gateway) -> None:
    assert json.loads(ask(gateway, "/ready")[2])["upstreams"].keys() == {"kb"}
    deadline = time.monotonic() + 20
    while 'upstream_healthy{backend="kb"}' not in (told := ask(gateway, "/metrics")[2]):
        assert time.monotonic() < deadline
    assert 'upstream_healthy{backend="chat"}' not in told
    key = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"}
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", **key}
    path = f"http://127.0.0.1:{gateway.port}/v1/chat/ws?token={issue()}"
    refused = httpx.get(path, headers=upgrade, trust_env=False, timeout=20)
    assert refused.status_code == 503
    assert refused.json()["message"] == "No service is configured for this path."
    gateway.program.wait_for_output(r"it has no members: CHAT_SERVICE_URL is unset")
